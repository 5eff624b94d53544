// A certified OpenID provider (panva's oidc-provider) for the end-to-end tests: loopback, a random port, keys made
// at start. Prints one line of JSON, {"issuer": URL}, on stdout; everything else goes to stderr. Ends with its stdin,
// so that it never outlives the test that started it.
//
// Any password is taken; the login has to be one of PEOPLE. JOBS are workloads: each gets a JWT for the audience that it
// names (`resource`) with its own secret. For tests only, beside the provider's own paths:
//   POST /test/rotate   new keys, the old ones are gone      POST /test/away   answers 503 to everything
//   GET  /test/asked    how often which path was asked       POST /test/back   answers again
//   POST /test/change?JSON   what becomes of people: { alice: { groups: [] } }, { bob: { gone: true } }
//   POST /test/age      everybody logged in an hour ago      POST /test/deaf   hears neither prompt nor max_age
//   POST /test/brief    tokens of jobs end after 2 seconds
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';

console.log = console.info = console.warn = console.error;
const { Provider } = await import('oidc-provider');

const PEOPLE = {
  alice: { name: 'Alice Adler', groups: ['sre', 'sre-leads'] },
  bob: { name: 'Bob Baker', groups: ['dev'] },
  carol: { name: 'Carol Chen', groups: ['contractors'] },
  dave: { name: 'Dave Diaz', groups: [] },
  eve: { name: 'Eve Unverified', groups: ['sre'], email_verified: false },
};

const JOBS = {
  deploy: { repository: 'acme/shop', ref: 'refs/heads/main' },
  nightly: { repository: 'acme/shop', ref: 'refs/heads/dev' },
};
const JOB_SECRET = 'of-a-job-that-is-none';

/// What the provider remembers, all in one place, so that it can be made older.
const remembered = new Map();
class Store {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model} ${id}`; }
  by(name, value) {
    const own = [...remembered].filter(([key]) => key.startsWith(`${this.model} `));
    return own.find(([, payload]) => payload[name] === value)?.[1];
  }
  async upsert(id, payload) { remembered.set(this.key(id), { ...payload }); }
  async find(id) { return remembered.get(this.key(id)); }
  async findByUid(uid) { return this.by('uid', uid); }
  async findByUserCode(code) { return this.by('userCode', code); }
  async consume(id) { remembered.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { remembered.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const [key, payload] of remembered) if (payload.grantId === grantId) remembered.delete(key);
  }
}

const cookieKey = randomBytes(32).toString('base64url');

function newKeys() {
  const jwk = (type, options, alg) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    kid: `${alg.toLowerCase()}-${randomBytes(6).toString('hex')}`,
    use: 'sig',
    alg,
  });
  return [jwk('ec', { namedCurve: 'P-256' }, 'ES256'), jwk('rsa', { modulusLength: 2048 }, 'RS256')];
}

function client(id, alg) {
  return {
    client_id: id,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    // Native clients may use any port on loopback (RFC 8252, 7.3).
    redirect_uris: ['http://127.0.0.1/callback'],
    id_token_signed_response_alg: alg,
    require_auth_time: true,
    subject_type: 'pairwise',
  };
}

/// One that knows people by the same `sub` as the client for devices.
function withPublicSubjects(client) {
  return { ...client, client_id: `${client.client_id}-public`, subject_type: 'public' };
}

/// One that may do the device grant and nothing else.
function forDevices(client) {
  return {
    ...client,
    client_id: `${client.client_id}-device`,
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    response_types: [],
    redirect_uris: [],
    subject_type: 'public',
  };
}

function job(name) {
  return {
    client_id: name,
    client_secret: JOB_SECRET,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  };
}

function newProvider(issuer) {
  return new Provider(issuer, {
    jwks: { keys: newKeys() },
    cookies: { keys: [cookieKey] },
    scopes: ['openid', 'offline_access'],
    // As many providers have it: each refresh token is good once.
    rotateRefreshToken: true,
    adapter: Store,
    clients: [
      client('jit-ssh', 'ES256'),
      client('jit-ssh-rs256', 'RS256'),
      withPublicSubjects(client('jit-ssh', 'ES256')),
      forDevices(client('jit-ssh', 'ES256')),
      ...Object.keys(JOBS).map(job),
    ],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, audience) => ({
          audience, scope: '', accessTokenFormat: 'jwt', accessTokenTTL: jobTokenTTL, jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    extraTokenClaims: (_ctx, token) => JOBS[token.clientId],
    // Platforms give their jobs plain JWTs, not access tokens by RFC 9068.
    formats: { customizers: { jwt: (_ctx, _token, jwt) => { jwt.header = { ...jwt.header, typ: 'JWT' }; } } },
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    // `sub` is not the login, because nothing may take it for one. With the device grant this provider gives public
    // subjects only, so the client for that has them.
    subjectTypes: ['pairwise', 'public'],
    pairwiseIdentifier: (_ctx, login) => `panva-${login}`,
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
    pkce: { required: () => true },
    ttl: {
      AccessToken: 300, AuthorizationCode: 60, IdToken: 300, Interaction: 600, Session: 3600, Grant: 3600,
      RefreshToken: 3600,
    },
    findAccount: (_ctx, login) => {
      // Somebody who is gone is not found, and so their refresh tokens are refused (`invalid_grant`).
      const known = Object.hasOwn(PEOPLE, login) && !changed[login]?.gone;
      const person = known ? PEOPLE[login] : undefined;
      return person && {
        accountId: login,
        claims: () => ({
          sub: login,
          preferred_username: login,
          email: `${login}@example.com`,
          email_verified: true,
          ...person,
          ...changed[login],
        }),
      };
    },
  });
}

const asked = {};
// What became of people since the start: claims, or { gone: true }.
const changed = {};
let away = false;
let deaf = false;
let jobTokenTTL = 300;
let handle;
let issuer;

const server = createServer((request, response) => {
  const path = new URL(request.url, issuer).pathname;
  const say = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  switch (`${request.method} ${path}`) {
    case 'POST /test/rotate':
      handle = newProvider(issuer).callback();
      return say(200, {});
    case 'POST /test/away':
      away = true;
      return say(200, {});
    case 'POST /test/back':
      away = false;
      return say(200, {});
    case 'POST /test/change':
      Object.assign(changed, JSON.parse(decodeURIComponent(new URL(request.url, issuer).search.slice(1))));
      return say(200, {});
    case 'POST /test/age':
      for (const payload of remembered.values()) if (payload.loginTs) payload.loginTs -= 3600;
      return say(200, {});
    case 'POST /test/brief':
      jobTokenTTL = 2;
      return say(200, {});
    case 'POST /test/deaf':
      deaf = true;
      return say(200, {});
    case 'GET /test/asked':
      return say(200, asked);
    default:
      asked[path] = (asked[path] ?? 0) + 1;
      if (deaf && path === '/auth') {
        const url = new URL(request.url, issuer);
        for (const name of ['prompt', 'max_age']) url.searchParams.delete(name);
        request.url = url.pathname + url.search;
      }
      return away ? say(503, { error: 'temporarily_unavailable' }) : handle(request, response);
  }
});

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  handle = newProvider(issuer).callback();
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
