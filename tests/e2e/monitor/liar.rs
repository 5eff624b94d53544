//! A CA that lies, made of honest ones: it stands before a server, passes calls on, and changes answers. As the servers
//! behind it hold the CA's keys, what they sign is signed by the CA.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use jit_ssh_proto::wire::{LogItem, LogPage};
use jit_ssh_tests::api::Call;
use jit_ssh_tests::http::{Answer, send};

/// What is made of an answer to a path.
type Lie = Box<dyn Fn(&str, &mut Answer) + Send>;

/// A server on loopback. It ends with the test's process.
pub(super) struct Liar {
    pub(super) address: SocketAddr,
    way: Arc<Mutex<Way>>,
}

struct Way {
    behind: SocketAddr,
    lie: Lie,
}

impl Liar {
    /// One that is honest for now.
    pub(super) fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Mutex::new(Way { behind, lie: Box::new(|_, _| {}) }));
        let at = Arc::clone(&way);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let way = Arc::clone(&at);
                // Whoever calls may have gone.
                thread::spawn(move || pass_on(stream, &way));
            }
        });
        Self { address, way }
    }

    /// From now on another server answers.
    pub(super) fn turns_to(&self, behind: SocketAddr) {
        self.way.lock().unwrap().behind = behind;
    }

    /// From now on answers are changed.
    pub(super) fn tells(&self, lie: impl Fn(&str, &mut Answer) + Send + 'static) {
        self.way.lock().unwrap().lie = Box::new(lie);
    }
}

fn pass_on(stream: TcpStream, way: &Mutex<Way>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let mut call = Call::plain(words.next()?, words.next()?);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if !["host", "connection", "content-length"].contains(&name.to_ascii_lowercase().as_str()) {
            call = call.with(name, value);
        }
    }
    let behind = way.lock().unwrap_or_else(PoisonError::into_inner).behind;
    let mut answer = send(behind, &call).ok()?;
    (way.lock().unwrap_or_else(PoisonError::into_inner).lie)(&call.path, &mut answer);
    let mut head = format!("HTTP/1.1 {} Told\r\n", answer.status);
    for (name, value) in &answer.headers {
        if name != "content-length" && name != "connection" {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", answer.body.len()));
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.body)).ok()
}

/// A lie about the events of a page.
pub(super) fn about_events(
    lie: impl Fn(&mut Vec<LogItem>) + Send + 'static,
) -> impl Fn(&str, &mut Answer) + Send + 'static {
    move |path, answer| {
        if path.starts_with("/v1/events?") && answer.status == 200 {
            let mut page: LogPage = answer.json().unwrap();
            lie(&mut page.items);
            answer.body = serde_json::to_vec(&page).unwrap();
        }
    }
}
