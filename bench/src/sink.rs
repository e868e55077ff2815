//! An SMTP server that takes every mail and hands the code in it to whom it was sent: the mailbox of everybody.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// A recipient and a code.
type Mail = (String, String);

/// One client's mailbox.
#[derive(Debug)]
struct Mailbox {
    incoming: UnboundedSender<Mail>,
    arrived: tokio::sync::Mutex<UnboundedReceiver<Mail>>,
}

/// All mailboxes.
#[derive(Debug)]
pub(crate) struct Sink {
    mailboxes: Vec<Mailbox>,
    /// The first mail that no code was found in.
    strange: Mutex<Option<String>>,
}

/// A bound listener.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) port: u16,
}

impl Sink {
    /// Mailboxes for `clients` clients.
    pub(crate) fn new(clients: u32) -> Self {
        let mailbox = |_| {
            let (incoming, arrived) = unbounded_channel();
            Mailbox { incoming, arrived: tokio::sync::Mutex::new(arrived) }
        };
        Self { mailboxes: (0..clients).map(mailbox).collect(), strange: Mutex::default() }
    }

    /// The address number `index` of client `number`.
    pub(crate) fn address(number: u32, index: u64) -> String {
        format!("client-{number}-{index}@load.test")
    }

    /// The next code that is mailed to `email`, an address of client `number`. Codes for other addresses of the client that arrive
    /// before it are from sign-ins that were given up.
    pub(crate) async fn code(&self, number: u32, email: &str) -> String {
        let mailbox = usize::try_from(number).ok().and_then(|number| self.mailboxes.get(number));
        if let Some(mailbox) = mailbox {
            let mut arrived = mailbox.arrived.lock().await;
            while let Some((recipient, code)) = arrived.recv().await {
                if recipient == email {
                    return code;
                }
            }
        }
        std::future::pending().await
    }

    /// Binds a port of this machine.
    pub(crate) async fn listen(&self) -> io::Result<Listening> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Listening { listener, port })
    }

    /// Takes mails until it is dropped.
    pub(crate) async fn receive(self: Arc<Self>, listener: TcpListener) {
        let mut dialogues = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let sink = Arc::clone(&self);
                        dialogues.spawn(async move { sink.dialogue(stream).await });
                    }
                }
                // How a dialogue ended is the server's to tell.
                Some(_) = dialogues.join_next() => {}
            }
        }
    }

    async fn dialogue(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.write_all(b"220 load.test\r\n").await?;
        let mut received = Vec::with_capacity(8192);
        let mut recipient = String::new();
        loop {
            let line = until(&mut stream, &mut received, b"\r\n").await?;
            let line = String::from_utf8_lossy(&line);
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let answer: &[u8] = match verb.as_str() {
                "EHLO" => b"250 load.test\r\n",
                "RCPT" => {
                    quoted_path(&line).unwrap_or_default().clone_into(&mut recipient);
                    b"250 2.1.5 ok\r\n"
                }
                "MAIL" | "RSET" | "NOOP" => b"250 2.0.0 ok\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let content = until(&mut stream, &mut received, b"\r\n.\r\n").await?;
                    stream.write_all(b"250 2.0.0 taken\r\n").await?;
                    self.deliver(&recipient, &content);
                    continue;
                }
                "QUIT" => return stream.write_all(b"221 2.0.0 bye\r\n").await,
                _ => b"502 5.5.1 what?\r\n",
            };
            stream.write_all(answer).await?;
        }
    }

    fn deliver(&self, recipient: &str, content: &[u8]) {
        let content = String::from_utf8_lossy(content);
        let mailbox = number_of(recipient).and_then(|number| self.mailboxes.get(number));
        if let (Some(mailbox), Some(code)) = (mailbox, code_in(&content)) {
            // The receiver lives as long as the sender.
            let _ = mailbox.incoming.send((recipient.to_owned(), code.to_owned()));
        } else {
            let mut strange = self.strange.lock().unwrap_or_else(PoisonError::into_inner);
            if strange.is_none() {
                // Once: that sign-in will wait in vain, and this says why.
                let _ = io::Write::write_all(
                    &mut io::stderr(),
                    format!("load: a mail without a code:\n{content}\n").as_bytes(),
                );
                *strange = Some(recipient.to_owned());
            }
        }
    }
}

/// Everything up to the next `end`, which is taken, too.
async fn until(stream: &mut TcpStream, received: &mut Vec<u8>, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut searched = 0;
    loop {
        let unseen = received.get(searched..).unwrap_or_default();
        if let Some(at) = unseen.windows(end.len()).position(|window| window == end) {
            return Ok(received.drain(..searched + at + end.len()).collect());
        }
        searched = received.len().saturating_sub(end.len() - 1);
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What stands between angle brackets.
fn quoted_path(line: &str) -> Option<&str> {
    line.split_once('<')?.1.split_once('>').map(|(path, _)| path)
}

/// Whose mailbox an address is.
fn number_of(recipient: &str) -> Option<usize> {
    recipient.strip_prefix("client-")?.split('-').next()?.parse().ok()
}

/// The code: the first line that is six digits and nothing else.
fn code_in(content: &str) -> Option<&str> {
    content.lines().find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_known_by_its_recipient_and_its_code() {
        let address = Sink::address(12, 7);
        assert_eq!(number_of(&address), Some(12));
        assert_eq!(number_of("ada@example.com"), None);
        assert_eq!(quoted_path("RCPT TO:<a@example.com>\r\n"), Some("a@example.com"));
        assert_eq!(
            code_in("Subject: 123456\r\n\r\nYour code:\r\n\r\n012345\r\n\r\n@localhost #012345\r\n"),
            Some("012345")
        );
        assert_eq!(code_in("1234567\r\n"), None);
    }

    #[tokio::test]
    async fn a_code_waits_for_the_address_it_was_sent_to() {
        let sink = Sink::new(2);
        sink.deliver(&Sink::address(1, 3), b"111111\r\n");
        sink.deliver(&Sink::address(1, 4), b"222222\r\n");
        assert_eq!(sink.code(1, &Sink::address(1, 4)).await, "222222");
    }
}
