// What bindgen would make of the header of `ffi`.
#[repr(C)]
pub struct shelf {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct book {
    _unused: [u8; 0],
}
pub type book_opened = ::std::option::Option<
    unsafe extern "C" fn(
        ctx: *mut ::std::os::raw::c_void,
        book: *mut book,
        rc: ::std::os::raw::c_int,
    ),
>;
pub type book_read = ::std::option::Option<
    unsafe extern "C" fn(ctx: *mut ::std::os::raw::c_void, rc: ::std::os::raw::c_int),
>;
unsafe extern "C" {
    pub fn shelf_new() -> *mut shelf;
    pub fn shelf_free(shelf: *mut shelf);
    pub fn shelf_book(shelf: *mut shelf) -> *mut book;
    pub fn shelf_open(shelf: *mut shelf, cb: book_opened, ctx: *mut ::std::os::raw::c_void);
    pub fn shelf_has(shelf: *mut shelf, book: *mut book) -> bool;
    pub fn shelf_return(shelf: *mut shelf, book: *mut book);
    pub fn shelf_read(
        shelf: *mut shelf,
        book: *mut book,
        cb: book_read,
        ctx: *mut ::std::os::raw::c_void,
    );
    pub fn shelf_write(shelf: *mut shelf, buf: *const ::std::os::raw::c_void, n: u16) -> u32;
    pub fn book_free(book: *mut book);
}
