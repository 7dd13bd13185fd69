//! Requests to try.

/// A request: GET /demo, `Host`, `Connection`, `Upgrade`, `Origin`, these fields, and this behind it.
pub(crate) fn upgrade(fields: &[&str], behind: &[u8]) -> Vec<u8> {
    let browser = [
        "Host: example.com",
        "Connection: Upgrade",
        "Upgrade: WebSocket",
        "Origin: http://example.com",
    ];
    get("/demo", &[&browser, fields].concat(), behind)
}

/// Every version: its number, what its clients ask with, and what they send behind the header.
pub(crate) const ASKED: [(u16, &[&str], &[u8]); 10] = [
    (75, &[], b""),
    (76, &[KEY_1, KEY_2], KEY_3),
    (1, &[KEY_1, KEY_2, "Sec-WebSocket-Draft: 1"], KEY_3),
    (2, &[KEY_1, KEY_2, "Sec-WebSocket-Draft: 2"], KEY_3),
    (3, &[KEY_1, KEY_2, "Sec-WebSocket-Draft: 3"], KEY_3),
    (5, &[KEY, "Sec-WebSocket-Version: 5"], b""),
    (6, &[KEY, "Sec-WebSocket-Version: 6"], b""),
    (7, &[KEY, "Sec-WebSocket-Version: 7"], b""),
    (8, &[KEY, "Sec-WebSocket-Version: 8"], b""),
    (13, &[KEY, VERSION_13], b""),
];

pub(crate) fn get(target: &str, fields: &[&str], behind: &[u8]) -> Vec<u8> {
    request(&format!("GET {target} HTTP/1.1"), fields, behind)
}

pub(crate) fn request(line: &str, fields: &[&str], behind: &[u8]) -> Vec<u8> {
    let mut bytes = [&[line], fields, &["\r\n"]].concat().join("\r\n").into_bytes();
    bytes.extend_from_slice(behind);
    bytes
}

pub(crate) const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const KEY_1: &str = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5";
pub(crate) const KEY_2: &str = "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00";
pub(crate) const KEY_3: &[u8] = b"^n:ds[4U";
pub(crate) const VERSION_13: &str = "Sec-WebSocket-Version: 13";
