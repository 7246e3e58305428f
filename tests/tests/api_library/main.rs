//! `spdk::api!` with a library of one's own.
#![allow(missing_docs)]

use std::mem;
use std::time::Duration;

use spdk::time::timeout;
use spdk::{DmaBuf, ErrorKind, SpdkApp, ThreadHandle};
use spdk_tests::kind;

spdk::api!("tests/api_library/shelf.ron");

/// The C library. What it has said since it was asked last is in `said`.
#[allow(non_camel_case_types)]
#[allow(unsafe_code)] // Is called as C code is.
mod ffi {
    use std::cell::RefCell;
    use std::ffi::{c_int, c_void};

    /// Whether it was freed. It is never given back, so that a wrong manifest does no harm.
    pub struct shelf {
        is_free: bool,
    }
    pub struct book {
        of: *mut shelf,
    }

    thread_local! { static SAID: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) }; }

    pub(super) fn said() -> Vec<&'static str> {
        SAID.take()
    }

    fn say(what: &'static str) {
        SAID.with_borrow_mut(|said| said.push(what));
    }

    pub(crate) type book_opened =
        Option<unsafe extern "C" fn(ctx: *mut c_void, book: *mut book, rc: c_int)>;

    pub(crate) type book_read = Option<unsafe extern "C" fn(ctx: *mut c_void, rc: c_int)>;

    pub(crate) unsafe extern "C" fn shelf_new() -> *mut shelf {
        Box::into_raw(Box::new(shelf { is_free: false }))
    }

    pub(crate) unsafe extern "C" fn shelf_free(shelf: *mut shelf) {
        // SAFETY: a shelf is never given back.
        unsafe { (*shelf).is_free = true };
        say("shelf");
    }

    pub(crate) unsafe extern "C" fn shelf_book(shelf: *mut shelf) -> *mut book {
        Box::into_raw(Box::new(book { of: shelf }))
    }

    pub(crate) unsafe extern "C" fn shelf_open(
        shelf: *mut shelf,
        cb: book_opened,
        ctx: *mut c_void,
    ) {
        // SAFETY: the callback gets the context that came with it, and a new book.
        unsafe { cb.expect("it is given")(ctx, shelf_book(shelf), 0) }
    }

    pub(crate) unsafe extern "C" fn shelf_has(shelf: *mut shelf, book: *mut book) -> bool {
        // SAFETY: the book was made by `shelf_book`, and is not freed.
        unsafe { (*book).of == shelf }
    }

    pub(crate) unsafe extern "C" fn shelf_return(shelf: *mut shelf, book: *mut book) {
        // SAFETY: as for `shelf_has`.
        let is_own = unsafe { shelf_has(shelf, book) };
        say(if is_own { "own book" } else { "foreign book" });
        // SAFETY: it is freed by this call.
        unsafe { book_free(book) };
    }

    pub(crate) unsafe extern "C" fn shelf_read(
        shelf: *mut shelf,
        book: *mut book,
        cb: book_read,
        ctx: *mut c_void,
    ) {
        // SAFETY: as for `shelf_has`.
        let is_own = unsafe { shelf_has(shelf, book) };
        // SAFETY: the callback gets the context that came with it.
        unsafe { cb.expect("it is given")(ctx, if is_own { 0 } else { -1 }) }
    }

    pub(crate) unsafe extern "C" fn shelf_write(_: *mut shelf, _: *const c_void, n: u16) -> u32 {
        n.into()
    }

    pub(crate) unsafe extern "C" fn book_free(book: *mut book) {
        // SAFETY: it was made by `shelf_book`, and is freed once; a shelf is never given back.
        let is_free = unsafe { (*Box::from_raw(book).of).is_free };
        say(if is_free { "book of nothing" } else { "book" });
    }
}

/// Fails if a shelf is freed before a book of it.
#[spdk::test]
async fn a_handle_keeps_what_it_was_made_of() -> spdk::Result<()> {
    let shelf = Shelf::new()?;
    let books = (shelf.book()?, shelf.open().await?);
    drop(shelf);
    assert!(ffi::said().is_empty(), "it has books");
    drop(books.0);
    drop(books.1);
    assert_eq!(ffi::said(), ["book", "book", "shelf"]);
    Ok(())
}

/// Fails if a book that is leaked keeps its shelf for ever: the end of the spdk_thread waits for that.
#[spdk::test]
async fn what_is_leaked_keeps_nothing_at_the_end() -> spdk::Result<()> {
    let thread = ThreadHandle::on_core("leaks", SpdkApp::cores()?[0]).await?;
    let leaked = thread.call(|| {
        let shelf = Shelf::new()?;
        mem::forget(shelf.book()?);
        Ok::<_, spdk::Error>(())
    });
    leaked.await??;
    assert!(ffi::said().is_empty(), "it has a book");
    timeout(Duration::from_secs(4), thread.exit()).await??;
    assert_eq!(ffi::said(), ["book", "shelf"]);
    Ok(())
}

/// Fails if C is given a book of another shelf.
#[spdk::test]
async fn what_was_made_of_another_object_is_refused() -> spdk::Result<()> {
    let (shelf, other) = (Shelf::new()?, Shelf::new()?);
    let book = shelf.book()?;
    assert!(shelf.has(&book)?);
    shelf.read(&book).await?;
    let refused = [
        other.has(&book).map(drop),
        other.read(&book).await,
        other.give_back(shelf.book()?),
    ];
    for refused in refused {
        assert!(
            matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. })),
            "{refused:?}"
        );
        let text = refused.err().map(|error| error.to_string());
        let text = text.unwrap_or_default();
        assert!(text.ends_with("the Book is of another Shelf"), "{text}");
    }
    assert_eq!(ffi::said(), ["book"], "the one that was refused is dropped");
    shelf.give_back(book)?;
    assert_eq!(ffi::said(), ["own book", "book"]);
    Ok(())
}

/// Fails if C is told of another length than the buffer has.
#[spdk::test]
async fn a_length_that_does_not_fit_is_refused() -> spdk::Result<()> {
    let shelf = Shelf::new()?;
    assert_eq!(shelf.write(&DmaBuf::alloc(65535, 4096)?)?, 65535);
    let refused = shelf.write(&DmaBuf::alloc(65536, 4096)?);
    assert!(
        matches!(kind(&refused), Some(ErrorKind::InvalidArgument { .. })),
        "{refused:?}"
    );
    Ok(())
}
