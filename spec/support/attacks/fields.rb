# frozen_string_literal: true

require_relative "table"

# The header fields of an opening handshake.

# Every version is held to the same rules, by each of these.
servers = { plain: "", strict_of_all: ", where it is strict" }

Attacks.handshakes "Host", drafts: Attacks::ALL do
  text = "host header is required exactly once"
  refuses "no Host", "RFC 9112 3.2", 400, text, headers: { "Host" => nil }, drafts: Attacks::STRICT
  opens "no Host of an old client", "hixie-75 5.2", headers: { "Host" => nil }, drafts: Attacks::OLD
  refuses "no Host, where it is strict", "RFC 9112 3.2", 400, text,
          headers: { "Host" => nil }, server: :strict_of_all
  servers.each do |server, where|
    {
      "two Hosts" => %w[a b], "the same Host twice" => %w[a a], "an empty Host first" => ["", "a"]
    }.each do |name, hosts|
      refuses "#{name}#{where}", "RFC 9112 3.2", 400, text, headers: { "Host" => hosts },
                                                            server: server
    end
    {
      "a Host with a space" => "a b", "a Host with a path" => "a/b",
      "a Host with credentials" => "u:p@a", "a list of Hosts" => "a, b",
      "a Host with a query" => "a?b"
    }.each do |name, host|
      refuses "#{name}#{where}", "RFC 9112 3.2", 400, "Invalid host header: #{host.inspect}",
              headers: { "Host" => host }, server: server
    end
    opens "an IPv6 address with a port#{where}", "RFC 3986 3.2.2",
          headers: { "Host" => "[::1]:8080" }, server: server
    opens "an empty Host#{where}", "RFC 9110 7.2", headers: { "Host" => "" }, server: server
  end
  refuses "another host in the target, where it is strict", "RFC 9112 3.2.2", 400,
          'Invalid host header: "a"', target: "http://b/", headers: { "Host" => "a" },
                                      server: :strict_of_all
end

Attacks.handshakes "Upgrade and Connection" do
  refuses "another protocol", "RFC 6455 4.2.1", 400, 'Invalid upgrade header: "h2c"',
          headers: { "Upgrade" => "h2c" }
  refuses "a protocol that begins with websocket", "RFC 6455 4.2.1", 400,
          'Invalid upgrade header: "websockets"', headers: { "Upgrade" => "websockets" }
  refuses "protocols that are not parted by commas", "RFC 9110 5.6.1", 400,
          'Invalid upgrade header: "h2c websocket"', headers: { "Upgrade" => "h2c websocket" }
  # A list may take several fields; em-websocket has never had it.
  refuses "two Upgrades", "RFC 9110 5.3", 400,
          'Invalid upgrade header: ["websocket", "websocket"]',
          headers: { "Upgrade" => %w[websocket websocket] }
  refuses "an Upgrade without Connection", "RFC 6455 4.2.1", 400, "Not an upgrade request",
          headers: { "Connection" => nil }
  refuses "Connection: close", "RFC 6455 4.2.1", 400, "Not an upgrade request",
          headers: { "Connection" => "close" }
  refuses "options that are not parted by commas", "RFC 9110 5.6.1", 400, "Not an upgrade request",
          headers: { "Connection" => "keep-alive Upgrade" }
  refuses "an option that begins with Upgrade", "RFC 9110 7.6.1", 400, "Not an upgrade request",
          headers: { "Connection" => "Upgrade-Insecure-Requests" }
  opens "any case of Upgrade", "RFC 6455 4.2.1", headers: { "Upgrade" => "WEBsocket" }
  opens "websocket among other protocols", "RFC 9110 7.8",
        headers: { "Upgrade" => "h2c ,, websocket" }
  opens "any case of Connection", "RFC 6455 4.2.1", headers: { "Connection" => "uPGRADE" }
  opens "upgrade among other options", "RFC 9110 7.6.1",
        headers: { "Connection" => "keep-alive, Upgrade" }
  opens "upgrade in another Connection", "RFC 9110 5.3",
        headers: { "Connection" => %w[keep-alive Upgrade] }
end

Attacks.handshakes "Sec-WebSocket-Key", drafts: Attacks::STRICT do
  key = "dGhlIHNhbXBsZSBub25jZQ=="
  invalid = /\AInvalid sec-websocket-key header: /
  refuses "no key", "RFC 6455 4.2.1", 400, "sec-websocket-key header is required",
          headers: { "Sec-WebSocket-Key" => nil }, drafts: Attacks::ACCEPTS
  {
    "two keys" => [key, "AAAAAAAAAAAAAAAAAAAAAA=="], "the same key twice" => [key, key],
    "an empty key" => "", "a key of 15 bytes" => "dGhlIHNhbXBsZSBub25j",
    "a key of 17 bytes" => "dGhlIHNhbXBsZSBub25jZSE=", "a key of 4 KiB" => "A" * 4096,
    "a key that is not base64" => "not base64, not at all!!",
    "a key in the alphabet of URLs" => "__________-_________-w==",
    "a key without its padding" => key.delete("="),
    "a key with a space in it" => "dGhlIHNhbXBs ZSBub25jZQ==",
    "two keys in one field" => "#{key}, #{key}"
  }.each do |name, keys|
    refuses name, "RFC 6455 4.2.1", 400, invalid, headers: { "Sec-WebSocket-Key" => keys }
  end
end

Attacks.handshakes "Sec-WebSocket-Version" do
  [0, 4, 9, 12, 14, 99, 255].each do |version|
    refuses "version #{version}", "RFC 6455 4.4", 426, "Protocol version #{version} not supported",
            headers: { "Sec-WebSocket-Version" => version }
  end
  refuses "a key without a version", "RFC 6455 4.4", 426,
          "sec-websocket-version header is required", headers: { "Sec-WebSocket-Version" => nil }
  refuses "two versions", "RFC 6455 11.3.5", 400,
          "sec-websocket-version header must not be repeated",
          headers: { "Sec-WebSocket-Version" => %w[13 13] }
  refuses "a version of many digits", "RFC 6455 4.4", 426, /\AProtocol version \d+ not supported/,
          headers: { "Sec-WebSocket-Version" => "9" * 1000 }
  refuses "a word for a version", "RFC 6455 4.4", 426, "Protocol version 0 not supported",
          headers: { "Sec-WebSocket-Version" => "hybi" }
  refuses "a negative version", "RFC 6455 4.4", 426, "Protocol version -13 not supported",
          headers: { "Sec-WebSocket-Version" => "-13" }
  {
    "a list of versions" => "13, 8", "a version with more behind it" => "13abc",
    "a version with a leading zero" => "013", "a version with a sign" => "+13"
  }.each do |name, version|
    refuses name, "RFC 6455 11.3.5", 426,
            "Invalid sec-websocket-version header: #{version.inspect}",
            headers: { "Sec-WebSocket-Version" => version }
  end
end

Attacks.handshakes "the form of a field", drafts: Attacks::ALL do
  {
    "a space before the colon" => ["RFC 9112 5.1", "Upgrade:", "Upgrade :"],
    "a field folded over two lines" => ["RFC 9112 5.2", "Upgrade: ", "Upgrade:\r\n "],
    "a folded line before the first field" => ["RFC 9112 2.2", "Host:", " Host:"],
    "a field without a name" => ["RFC 9112 5", "Host:", ": nameless\r\nHost:"],
    "a field without a colon" => ["RFC 9112 5", "Host:", "nonsense\r\nHost:"],
    "a space in a name" => ["RFC 9110 5.1", "Host:", "X Y: z\r\nHost:"],
    "a name that is no token" => ["RFC 9110 5.1", "Host:", "X(Y): z\r\nHost:"],
    "a name that is not ASCII" => ["RFC 9110 5.1", "Host:", "X\xE9: z\r\nHost:"],
    "NUL in a name" => ["RFC 9110 5.1", "Host:", "Ho\0st:"],
    "NUL in a value" => ["RFC 9110 5.5", "Origin: ", "Origin: \0"],
    "a control byte in a value" => ["RFC 9110 5.5", "Origin: ", "Origin: \x01"],
    "DEL in a value" => ["RFC 9110 5.5", "Origin: ", "Origin: \x7F"],
    "a bare CR in a value" => ["RFC 9112 2.2", "Origin: ", "Origin: a\rX-Smuggled: "],
    "a bare CR that ends a line" => ["RFC 9112 2.2", "Upgrade: WebSocket\r\n",
                                     "Upgrade: WebSocket\r"]
  }.each do |name, (section, good, bad)|
    refuses name, section, 400, Attacks::NO_HTTP do |request|
      request.sub(good.b, bad.b)
    end
  end
  servers.each do |server, where|
    text = "Header lines must end with CRLF"
    refuses "lines that a bare LF ends#{where}", "RFC 9112 2.2", 400, text,
            server: server do |request|
      request.gsub("\r\n", "\n")
    end
    refuses "one line that a bare LF ends#{where}", "RFC 9112 2.2", 400, text,
            server: server do |request|
      request.sub("WebSocket\r\n", "WebSocket\n")
    end
    refuses "a field behind a bare LF#{where}", "RFC 9112 2.2", 400, text,
            server: server do |request|
      request.sub("\r\n\r\n", "\r\nX: y\nContent-Length: 5\r\n\r\n")
    end
  end
  opens "tabs and spaces around a value", "RFC 9112 5.1" do |request|
    request.sub("Upgrade: WebSocket", "Upgrade:\t WebSocket \t")
  end
  opens "a value that is not ASCII", "RFC 9110 5.5", headers: { "X-Name" => "gr\xFC\xDFe".b }
  opens "names in any case", "RFC 9110 5.1" do |request|
    request.gsub(/^[\w-]+:/, &:swapcase)
  end
end

Attacks.handshakes "request smuggling", drafts: Attacks::ALL do
  chunked = "8\r\nsmuggled\r\n0\r\n\r\n"
  smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
  servers.each do |server, where|
    {
      "a chunked body" => ["RFC 9112 6.1", { "Transfer-Encoding" => "chunked" }, chunked],
      "a body of another encoding" => ["RFC 9112 6.1", { "Transfer-Encoding" => "gzip" }, "zip"],
      "chunked in disguise" => ["RFC 9112 6.1", { "Transfer-Encoding" => "xchunked" }, chunked],
      "an encoding without a name" => ["RFC 9112 6.1", { "transfer-encoding" => "" }, ""],
      "a body with its length" => ["RFC 9112 6.2", { "Content-Length" => smuggled.size }, smuggled],
      "a body with both" => ["RFC 9112 6.3", { "Transfer-Encoding" => "chunked",
                                               "Content-Length" => 3 }, chunked],
      "chunked beside no length" => ["RFC 9112 6.3", { "Content-Length" => 0,
                                                       "Transfer-Encoding" => "chunked" }, chunked],
      "two lengths of a body" => ["RFC 9112 6.3", { "Content-Length" => [0, 5] }, "smugg"],
      "two lengths, a third key's first" => ["RFC 9112 6.3", { "Content-Length" => [8, 0] }, ""],
      "a list of lengths" => ["RFC 9112 6.3", { "Content-Length" => "0, 0" }, ""],
      "a length that is no number" => ["RFC 9112 6.3", { "Content-Length" => "+5" }, "smugg"],
      "a negative length" => ["RFC 9112 6.3", { "Content-Length" => "-1" }, ""]
    }.each do |name, (section, headers, body)|
      refuses "#{name}#{where}", section, 400, "The request must not have a body",
              headers:, body:, server: server
    end
    refuses "a space before the colon of Transfer-Encoding#{where}", "RFC 9112 5.1", 400,
            Attacks::NO_HTTP, server: server, body: chunked,
                              headers: { "Transfer-Encoding " => "chunked" }
    opens "a body of no bytes#{where}", "RFC 9112 6.2", server: server,
                                                        headers: { "Content-Length" => 0 }
    # Both sides of a proxy agree about where such a request ends.
    opens "a third key that is announced as a body#{where}", "RFC 9112 6.2",
          headers: { "Content-Length" => 8 }, drafts: Attacks::CHALLENGES, server: server
    refuses "a body as long as a third key#{where}", "RFC 9112 6.2", 400,
            "The request must not have a body", server: server, headers: { "Content-Length" => 8 },
                                                drafts: Attacks::ALL - Attacks::CHALLENGES
  end
end

Attacks.handshakes "fields that come twice", drafts: Attacks::ALL do
  servers.each do |server, where|
    refuses "two Origins#{where}", "RFC 6454 7.3", 400, "origin header must not be repeated",
            headers: { "Origin" => %w[http://a.example http://b.example] }, server: server
    refuses "two origins of the drafts between#{where}", "RFC 6454 7.3", 400,
            "origin header must not be repeated", server:, headers: {
              "Origin" => nil, "Sec-WebSocket-Origin" => %w[http://a.example http://b.example]
            }
  end
  opens "subprotocols in two fields", "RFC 6455 11.3.4",
        headers: { "Sec-WebSocket-Protocol" => %w[chat superchat] }
  opens "extensions in two fields", "RFC 6455 11.3.2",
        headers: { "Sec-WebSocket-Extensions" => %w[x-one x-two] }
end

Attacks.handshakes "the size of a header" do
  limit = 16_384
  fields = 6 # of a good request: Host, Upgrade, Connection, Origin, key and version
  refuses "101 fields", "RFC 6585 5", 431, "Too many HTTP headers (limit 100)",
          headers: { "X" => ["y"] * (101 - fields) }
  opens "100 fields", "RFC 6585 5", headers: { "X" => ["y"] * (100 - fields) }
  refuses "a field of 16 KiB", "RFC 6585 5", 431,
          "HTTP header too long (limit 16384 bytes)" do |request|
    request.sub("Host:", "X: #{"y" * limit}\r\nHost:")[0, limit]
  end
  refuses "a field that never ends", "RFC 6585 5", 431,
          "HTTP header too long (limit 16384 bytes)" do
    "GET / HTTP/1.1\r\n#{"x" * (limit - 16)}"
  end
  opens "a header of 16 KiB less one byte", "RFC 6585 5" do |request|
    padding = limit - 1 - request.bytesize - "X: \r\n".bytesize
    request.sub("Host:", "X: #{"y" * padding}\r\nHost:")
  end
end

Attacks.handshakes "subprotocols" do
  text = "Invalid WebSocket-Protocol: empty"
  refuses "an empty list of subprotocols", "RFC 6455 11.3.4", 400, text,
          headers: { "Sec-WebSocket-Protocol" => "" }, drafts: Attacks::ACCEPTS
  refuses "a list of nothing but commas", "RFC 6455 11.3.4", 400, text,
          headers: { "Sec-WebSocket-Protocol" => ", ,," }, drafts: Attacks::ACCEPTS
end
