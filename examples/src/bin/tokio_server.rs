//! A server on Tokio's threads beside an SPDK reactor: each request is one I/O, which its handler awaits through
//! the `ThreadHandle` of the device's spdk_thread. Clients write and read at random, and compare.
//!
//! A request is `w <block> <byte>` or `r <block>`, a line each; the answer is `ok`, a byte, or `error: ...`.
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::future::try_join_all;
use spdk::{SpdkThread, ThreadHandle};
use spdk_examples::{BLOCKS, Store, app};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

const CLIENTS: u64 = 8;
const REQUESTS: u64 = 500;

thread_local! {
    /// On the OS thread of the device's spdk_thread: what stays there is reached by name.
    static STORE: OnceCell<Rc<Store>> = const { OnceCell::new() };
}

fn main() -> spdk::Result<()> {
    let compared = app("tokio_server").block_on(async {
        let store = Rc::new(Store::open()?);
        STORE.with(|place| place.get_or_init(|| store.clone()).clone());
        let home = SpdkThread::app_thread().expect("an application runs");
        let mut builder = Builder::new_multi_thread();
        spdk::tokio::run(builder.worker_threads(4).enable_io(), serve_and_ask(home)).await
    })?;
    match compared {
        Ok(compared) => println!("{compared} answers of a Tokio server compared"),
        Err(error) => panic!("{error}"),
    }
    Ok(())
}

/// The server and its clients, on the threads of Tokio.
async fn serve_and_ask(home: ThreadHandle) -> io::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, home.clone()));
        }
        #[expect(unreachable_code, reason = "it says what the task returns")]
        Ok::<_, io::Error>(())
    });
    let clients = (0..CLIENTS).map(|number| tokio::spawn(client(address, number)));
    let compared = try_join_all(clients).await.map_err(io::Error::other)?;
    server.abort();
    compared.into_iter().sum()
}

async fn serve(stream: TcpStream, home: ThreadHandle) -> io::Result<()> {
    let (requests, mut answers) = stream.into_split();
    let mut requests = BufReader::new(requests).lines();
    while let Some(request) = requests.next_line().await? {
        let answer = match answer(&request, &home).await {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

async fn answer(request: &str, home: &ThreadHandle) -> spdk::Result<String> {
    let mut words = request.split(' ');
    let kind = words.next().map(str::to_owned);
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
    let (block, byte) = (number(words.next()), number(words.next()));
    // The I/O is done where the device is; only the answer comes back.
    home.call_async(async move || {
        let Some(store) = STORE.with(|place| place.get().cloned()) else {
            return Ok("error: there is no store".to_owned());
        };
        Ok(match (kind.as_deref(), block, byte) {
            (Some("w"), Some(block), Some(byte)) => {
                store.fill(block, byte as u8).await?;
                "ok".to_owned()
            }
            (Some("r"), Some(block), None) => match store.byte(block).await? {
                Some(byte) => byte.to_string(),
                None => "error: torn".to_owned(),
            },
            _ => "error: w <block> <byte>, or r <block>".to_owned(),
        })
    })
    .await?
}

/// Writes and reads blocks that are its own. Returns how many answers it has compared.
async fn client(address: SocketAddr, number: u64) -> io::Result<u64> {
    let (answers, mut requests) = TcpStream::connect(address).await?.into_split();
    let mut answers = BufReader::new(answers).lines();
    let mut random = fastrand::Rng::with_seed(number);
    let mut written = vec![0; (BLOCKS / CLIENTS) as usize];
    for request in 0..REQUESTS {
        let index = random.usize(..written.len());
        let block = index as u64 * CLIENTS + number;
        let (line, expected) = if random.bool() {
            written[index] = random.u8(..);
            (format!("w {block} {}\n", written[index]), "ok".to_owned())
        } else {
            (format!("r {block}\n"), written[index].to_string())
        };
        requests.write_all(line.as_bytes()).await?;
        let answer = answers.next_line().await?;
        if answer.as_deref() != Some(&expected) {
            return Err(io::Error::other(format!(
                "request {request}, {line:?}: {answer:?} instead of {expected:?}"
            )));
        }
    }
    // What is wrong is told, and the connection stays.
    requests
        .write_all(format!("r {BLOCKS}\n").as_bytes())
        .await?;
    let answer = answers.next_line().await?.unwrap_or_default();
    if !answer.starts_with("error: spdk_bdev_read_blocks on bdev \"Malloc0\"") {
        return Err(io::Error::other(format!("beyond the device: {answer:?}")));
    }
    Ok(REQUESTS + 1)
}
