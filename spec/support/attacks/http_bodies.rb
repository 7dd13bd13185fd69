# frozen_string_literal: true

require_relative "table"

module Attacks
  # Plain HTTP that is sent to a server which answers it, and what comes of it: `[name, section,
  # bytes, status]`, and for 200 the body that the application is given. A second request stands
  # behind each: nobody may ever answer it.
  module HttpBodies
    POST = "POST /x HTTP/1.1\r\nHost: x\r\n"
    CHUNKED = "#{POST}Transfer-Encoding: chunked\r\n\r\n".freeze
    SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    LIMIT = 1000

    def self.with(*fields, body) = "#{POST}#{fields.map { |it| "#{it}\r\n" }.join}\r\n#{body}"

    LENGTHS = [
      ["a length", "RFC 9112 6.2", with("Content-Length: 3", "abc"), 200, "abc"],
      ["a length with zeros", "RFC 9110 8.6", with("Content-Length: 003", "abc"), 200, "abc"],
      ["no length", "RFC 9112 6.3", with(""), 200, ""],
      ["two lengths that differ", "RFC 9112 6.3",
       with("Content-Length: 3", "Content-Length: 5", "abc"), 400],
      ["two lengths that are one", "RFC 9112 6.3",
       with("Content-Length: 3", "Content-Length: 3", "abc"), 400],
      ["a list of lengths", "RFC 9112 6.3", with("Content-Length: 3, 3", "abc"), 400],
      ["a length with a sign", "RFC 9110 8.6", with("Content-Length: +3", "abc"), 400],
      ["a negative length", "RFC 9110 8.6", with("Content-Length: -1", ""), 400],
      ["a length in base 16", "RFC 9110 8.6", with("Content-Length: 0x3", "abc"), 400],
      ["a length with an exponent", "RFC 9110 8.6", with("Content-Length: 3e0", "abc"), 400],
      ["a length in two parts", "RFC 9110 8.6", with("Content-Length: 3 0", "abc"), 400],
      ["an empty length", "RFC 9110 8.6", with("Content-Length:", ""), 400],
      ["a length of other digits", "RFC 9110 8.6", with("Content-Length: \u0663", "abc"), 400],
      ["a length on a folded line", "RFC 9112 5.2", with("Content-Length:\r\n 3", "abc"), 400],
      ["a space before the colon", "RFC 9112 5.1", with("Content-Length : 3", "abc"), 400],
      ["a length over the limit", "RFC 9110 15.5.14",
       with("Content-Length: #{LIMIT + 1}", ""), 413],
      ["a length over all numbers", "RFC 9110 8.6", with("Content-Length: #{"9" * 40}", ""), 413]
    ].freeze

    CODINGS = [
      ["chunks", "RFC 9112 7.1", "#{CHUNKED}3\r\nabc\r\n0\r\n\r\n", 200, "abc"],
      ["chunks and a trailer section", "RFC 9112 7.1.2",
       "#{CHUNKED}3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n", 200, "abc"],
      ["a trailer that would be a length", "RFC 9110 6.5.1",
       "#{CHUNKED}3\r\nabc\r\n0\r\nContent-Length: 900\r\n\r\n", 200, "abc"],
      ["chunks and a length", "RFC 9112 6.3",
       with("Transfer-Encoding: chunked", "Content-Length: 4", "0\r\n\r\n"), 400],
      ["a length and chunks", "RFC 9112 6.3",
       with("Content-Length: 4", "Transfer-Encoding: chunked", "0\r\n\r\n"), 400],
      ["chunks twice", "RFC 9112 6.1",
       with("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "0\r\n\r\n"), 400],
      ["chunks and then identity", "RFC 9112 6.3",
       with("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "0\r\n\r\n"), 400],
      ["a coding behind chunks", "RFC 9112 6.3",
       with("Transfer-Encoding: chunked, gzip", "0\r\n\r\n"), 400],
      ["a coding before chunks", "RFC 9112 6.1",
       with("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), 501],
      ["a coding that begins like chunks", "RFC 9112 6.3",
       with("Transfer-Encoding: chunkedx", "0\r\n\r\n"), 400],
      ["a vertical tab before chunks", "RFC 9110 5.5",
       with("Transfer-Encoding: \vchunked", "0\r\n\r\n"), 400],
      ["a coding in quotes", "RFC 9112 6.3",
       with("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"), 400],
      ["an empty coding", "RFC 9112 6.3", with("Transfer-Encoding:", "0\r\n\r\n"), 400],
      ["chunks in HTTP/1.0", "RFC 9112 6.1", "#{CHUNKED.sub("1.1", "1.0")}0\r\n\r\n", 400],
      ["a size with a sign", "RFC 9112 7.1", "#{CHUNKED}+3\r\nabc\r\n0\r\n\r\n", 400],
      ["a size with a prefix", "RFC 9112 7.1", "#{CHUNKED}0x3\r\nabc\r\n0\r\n\r\n", 400],
      ["a space before the size", "RFC 9112 7.1", "#{CHUNKED} 3\r\nabc\r\n0\r\n\r\n", 400],
      ["a space behind the size", "RFC 9112 7.1", "#{CHUNKED}3 \r\nabc\r\n0\r\n\r\n", 400],
      ["no size", "RFC 9112 7.1", "#{CHUNKED}\r\nabc\r\n0\r\n\r\n", 400],
      ["a size of nine digits", "RFC 9112 7.1", "#{CHUNKED}000000003\r\nabc\r\n0\r\n\r\n", 400],
      ["a size that wraps round", "RFC 9112 7.1", "#{CHUNKED}100000003\r\nabc\r\n0\r\n\r\n", 400],
      ["a line that LF alone ends", "RFC 9112 2.2", "#{CHUNKED}3\nabc\n0\n\n", 400],
      ["an extension that LF ends", "RFC 9112 7.1.1", "#{CHUNKED}3;\nabc\r\n0\r\n\r\n", 400],
      ["a chunk longer than its size", "RFC 9112 7.1", "#{CHUNKED}3\r\nabcd\r\n0\r\n\r\n", 400],
      ["a chunk without its end", "RFC 9112 7.1", "#{CHUNKED}3\r\nabc0\r\n\r\n", 400],
      ["a chunk over the limit", "RFC 9112 7.1", "#{CHUNKED}FFFFFFFF\r\n", 413],
      ["chunks that come to more", "RFC 9112 7.1",
       "#{CHUNKED}#{"1\r\nx\r\n" * (LIMIT + 1)}0\r\n\r\n", 413],
      ["extensions without end", "RFC 9112 7.1.1", "#{CHUNKED}3;#{"x" * 5000}", 400],
      ["extensions of each chunk", "RFC 9112 7.1.1",
       "#{CHUNKED}#{"1;#{"x" * 100}\r\nx\r\n" * 50}0\r\n\r\n", 400],
      ["a trailer section without end", "RFC 9112 7.1.2",
       "#{CHUNKED}0\r\n#{"X: #{"y" * 100}\r\n" * 50}", 400],
      ["a folded trailer field", "RFC 9112 5.2", "#{CHUNKED}0\r\nX: y\r\n z\r\n\r\n", 400]
    ].freeze

    REQUESTS = [
      ["CONNECT", "RFC 9110 9.3.6", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", 501],
      ["TRACE", "RFC 9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 501],
      ["no Host", "RFC 9112 3.2", "GET /x HTTP/1.1\r\n\r\n", 400],
      ["two Hosts", "RFC 9112 3.2", "GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400],
      ["another Host than the target's", "RFC 9112 3.2.2",
       "GET http://y/x HTTP/1.1\r\nHost: x\r\n\r\n", 400],
      ["a target with a space", "RFC 9112 3", "GET /x y HTTP/1.1\r\nHost: x\r\n\r\n", nil],
      ["a header that LF alone ends", "RFC 9112 2.2", "GET /x HTTP/1.1\nHost: x\n\n", 400],
      ["a field without a name", "RFC 9112 5", "GET /x HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400],
      ["a NUL in a field", "RFC 9110 5.5", "GET /x HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n", 400],
      ["an expectation", "RFC 9110 10.1.1", with("Expect: magic", "Content-Length: 3", ""), 417],
      ["HTTP/2.0", "RFC 9113 3.4", "GET /x HTTP/2.0\r\nHost: x\r\n\r\n", nil],
      ["101 fields", "RFC 6585 5", "GET /x HTTP/1.1\r\nHost: x\r\n#{"X: y\r\n" * 100}\r\n", 431],
      ["an upgrade to something else", "RFC 9110 7.8",
       "GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200, ""],
      ["a WebSocket that is posted", "RFC 6455 4.1",
       with("Upgrade: websocket", "Connection: Upgrade", "Content-Length: 3", "abc"), 400]
    ].freeze

    ROWS = (LENGTHS + CODINGS + REQUESTS).freeze
  end
end
