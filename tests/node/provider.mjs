// A certified OpenID provider (panva's oidc-provider) for the end-to-end tests: loopback, a random port, keys made
// at start. Prints one line of JSON, {"issuer": URL}, on stdout; everything else goes to stderr. Ends with its stdin,
// so that it never outlives the test that started it.
//
// Any password is taken; the login has to be one of PEOPLE. For tests only, beside the provider's own paths:
//   POST /test/rotate   new keys, the old ones are gone      POST /test/away   answers 503 to everything
//   GET  /test/asked    how often which path was asked       POST /test/back   answers again
//   POST /test/change?JSON   what becomes of people: { alice: { groups: [] } }, { bob: { gone: true } }
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

function newProvider(issuer) {
  return new Provider(issuer, {
    jwks: { keys: newKeys() },
    cookies: { keys: [cookieKey] },
    scopes: ['openid', 'offline_access'],
    // As many providers have it: each refresh token is good once.
    rotateRefreshToken: true,
    clients: [client('jit-ssh', 'ES256'), client('jit-ssh-rs256', 'RS256')],
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
    // `sub` is never the login, because nothing may take it for one.
    subjectTypes: ['pairwise'],
    pairwiseIdentifier: (_ctx, login) => `panva-${login}`,
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
    case 'GET /test/asked':
      return say(200, asked);
    default:
      asked[path] = (asked[path] ?? 0) + 1;
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
