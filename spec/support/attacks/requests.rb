# frozen_string_literal: true

require_relative "table"

# The request line, and bytes that are no HTTP at all.

Attacks.handshakes "the method", drafts: Attacks::ALL do
  refuses "POST", "RFC 6455 4.1", 400, "Must be GET request", verb: "POST"
  refuses "HEAD", "RFC 6455 4.1", 400, "Must be GET request", verb: "HEAD"
  refuses "CONNECT", "RFC 6455 4.1", 400, "Must be GET request", verb: "CONNECT"
  refuses "OPTIONS *", "RFC 6455 4.1", 400, "Must be GET request", verb: "OPTIONS", target: "*"
  hangs_up_on "get in lower case", "RFC 9110 9.1", verb: "get"
  hangs_up_on "an unknown method", "RFC 9110 9.1", verb: "BREW"
  hangs_up_on "a method that never ends", "RFC 9112 3" do
    "G" * 4000
  end
end

Attacks.handshakes "the version of HTTP", drafts: Attacks::ALL do
  refuses "HTTP/1.0, where it is strict", "RFC 6455 4.2.1", 400, "HTTP/1.1 or later is required",
          http: "HTTP/1.0", server: :strict_of_all
  opens "HTTP/1.0, as a proxy may forward it", "RFC 9112 2.3", http: "HTTP/1.0"
  hangs_up_on "HTTP/2.0", "RFC 9113 3.4", http: "HTTP/2.0"
  hangs_up_on "HTTP/0.9, which names none", "RFC 9112 3" do |request|
    request.sub(" HTTP/1.1", "")
  end
  hangs_up_on "http/1.1 in lower case", "RFC 9112 2.3", http: "http/1.1"
  hangs_up_on "HTTP/1.10", "RFC 9112 2.3", http: "HTTP/1.10"
  hangs_up_on "another protocol's name", "RFC 9112 2.3", http: "RTSP/1.1"
end

Attacks.handshakes "the request target", drafts: Attacks::ALL do
  refuses "a target that is no URI", "RFC 3986 2.1", 400, "Invalid request URI: /%", target: "/%"
  hangs_up_on "a space in the target", "RFC 9112 3", target: "/a b"
  hangs_up_on "a tab in the target", "RFC 9112 3", target: "/a\tb"
  hangs_up_on "NUL in the target", "RFC 9112 3", target: "/a\0b"
  hangs_up_on "DEL in the target", "RFC 3986 2", target: "/a\x7Fb"
  refuses "bytes that are not ASCII in the target", "RFC 3986 2", 400, Attacks::NO_HTTP,
          target: "/\xFF\xFE".b
  hangs_up_on "no target", "RFC 9112 3", target: ""
  hangs_up_on "two spaces before the target", "RFC 9112 3", target: " /"
  hangs_up_on "a space behind the version", "RFC 9112 3", http: "HTTP/1.1 "
  refuses "a target longer than a header may be", "RFC 9110 15.5.15", 431,
          "HTTP header too long (limit 16384 bytes)" do |request|
    request.sub("GET /", "GET /#{"a" * 16_384}")[0, 16_384]
  end
  opens "a target with scheme and host", "RFC 9112 3.2.2", target: "http://127.0.0.1/chat",
                                                           path: "/chat"
end

Attacks.handshakes "targets that two readers may read differently", drafts: Attacks::ALL do
  {
    "two slashes" => "//x/admin", "a user and a host" => "//u@h:80/admin", "three" => "///admin",
    "a URI as a path" => "/http://x/admin", "dots" => "/x/../admin", "escapes" => "/%2e%2e/%61dmin"
  }.each do |name, target|
    %i[plain strict_of_all].each do |server|
      opens "#{name}, which is all path, where it is #{server}", "RFC 9112 3.2.1",
            target:, path: target, server: server
      opens "#{name} and a query, where it is #{server}", "RFC 9112 3.2.1",
            target: "#{target}?//y/z?", path: target, server: server
    end
  end
  {
    "a fragment" => "/admin#.png", "a fragment behind a query" => "/?a#b",
    "a lone fragment" => "#a", "a scheme that is not HTTP's" => "ftp://x/admin",
    "a scheme without a host" => "http:///admin", "a user" => "http://u@x/admin",
    "a scheme alone" => "http:/admin", "backslashes" => "/x\\..\\admin",
    "a path without a slash" => "admin", "the form of CONNECT" => "x:80"
  }.each do |name, target|
    refuses name, "RFC 9112 3.2", 400, "Invalid request URI: #{target}", target: target
  end
end

Attacks.handshakes "bytes that are no HTTP" do
  hangs_up_on "a TLS ClientHello", "RFC 8446 4.1.2" do
    ["160301020001 0001FC0303#{"5A" * 32}20#{"A5" * 32}".delete(" ")].pack("H*")
  end
  hangs_up_on "the preface of HTTP/2", "RFC 9113 3.4" do
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
  end
  hangs_up_on "a proxy's PROXY line", "RFC 9112 3" do |request|
    "PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\n#{request}"
  end
  hangs_up_on "an HTTP response", "RFC 9112 2.1" do
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
  end
  hangs_up_on "a greeting of SSH", "RFC 9112 2.1" do
    "SSH-2.0-OpenSSH_9.2\r\n"
  end
  hangs_up_on "a greeting of SMTP", "RFC 9112 2.1" do
    "EHLO mail.example.com\r\n"
  end
  hangs_up_on "a frame before any handshake", "RFC 6455 4.1" do |_, client|
    client.encode(:text, "early")
  end
  hangs_up_on "zeros", "RFC 9112 2.1" do
    "\0" * 1000
  end
  hangs_up_on "bytes of every value", "RFC 9112 2.1" do
    (0..255).to_a.reverse.pack("C*")
  end
  hangs_up_on "something like Flash's policy request", "RFC 9112 2.1" do
    "<policy-file-request>\0"
  end
  opens "blank lines before the request", "RFC 9112 2.2" do |request|
    "\r\n\r\n#{request}"
  end
end

Attacks.handshakes "plain HTTP" do
  request = { headers: { "Upgrade" => nil, "Connection" => nil } }
  hangs_up_on "no upgrade", "RFC 6455 4.2.1", "Not an upgrade request", **request
  refuses "no upgrade, where it is strict", "RFC 9110 15.5.22", 426, "Not an upgrade request",
          server: :strict, **request
  hangs_up_on "an empty Upgrade", "RFC 9110 7.8", "Not an upgrade request",
              headers: { "Upgrade" => "" }
end

Attacks.handshakes "what follows a request" do
  refuses "a good request behind a refused one", "RFC 9112 9.3.2", 400,
          "Must be GET request" do |request|
    request.sub("GET", "POST") + request
  end
  hangs_up_on "a good request behind garbage", "RFC 9112 2.2" do |request|
    "garbage\r\n\r\n#{request}"
  end
  opens "a frame in the handshake's own segment", "RFC 6455 4.1",
        drafts: Attacks::ACCEPTS, replies: [[:text, "early"]] do |request, client|
    request + client.encode(:text, "early")
  end
end
