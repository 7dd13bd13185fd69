# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::Handshake do
  subject(:handshake) { described_class.new(false) }

  let(:outcome) { [] }

  # A request from these parts, as RFC 6455 section 1.2 shows one.
  def request(line = "GET /demo HTTP/1.1", fields = {}, body = "")
    lines = {
      "Host" => "example.com", "Connection" => "Upgrade", "Upgrade" => "WebSocket",
      "Sec-WebSocket-Protocol" => "sample", "Origin" => "http://example.com"
    }.merge(fields).flat_map { |name, value| Array(value).map { |one| "#{name}: #{one}" } }
    [line, *lines, "", body].join("\r\n")
  end

  def hixie(line = "GET /demo HTTP/1.1", fields = {}, body = "^n:ds[4U")
    request(line, Drafts::KEYS.merge(fields), body)
  end

  def hybi(fields = {}, line = "GET /demo HTTP/1.1", body = "")
    request(line, Drafts.versioned(13).merge(fields), body)
  end

  # Outcome that the handshake made of these pieces: its response and class of frames, or its error.
  def receive(*pieces)
    handshake.callback { |response, handler| outcome.push(response, handler) }
    handshake.errback { |error| outcome.push(error) }
    pieces.each { |piece| handshake.receive_data(piece) }
    outcome
  end

  def response_of(*pieces)
    status, *lines = receive(*pieces).first.split("\r\n\r\n", 2).first.split("\r\n")
    [status, lines.to_h { |line| line.split(": ", 2) }]
  end

  it "has no status before anybody asks and before the request is complete" do
    handshake.receive_data("GET / HTTP/1.1\r\n")

    expect(handshake.instance_variable_get(:@deferred_status)).to be_nil
  end

  it "is pending until the request is complete" do
    expect(receive(hybi[0..-2])).to be_empty
    handshake.receive_data("\n")
    expect(outcome.first).to start_with("HTTP/1.1 101 Switching Protocols\r\n")
    expect(handshake.instance_variable_get(:@deferred_status)).to eq(:succeeded)
  end

  it "tells callbacks that are added after the fact" do
    receive(hybi)
    late = []
    handshake.callback { |response, _| late << response }

    expect(late).to eq([outcome.first])
  end

  it "answers drafts 04 and later" do
    status, fields = response_of(hybi("Sec-WebSocket-Protocol" => nil))

    expect(status).to eq("HTTP/1.1 101 Switching Protocols")
    expect(fields.to_a).to eq(
      [%w[Upgrade websocket], %w[Connection Upgrade],
       ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]]
    )
  end

  it "answers them with the protocol", upstream: "0.5.1 does not" do
    expect(response_of(hybi).last.to_a.last).to eq(%w[Sec-WebSocket-Protocol sample])
  end

  it "answers draft 76 with its challenge, cut as it likes" do
    response, = receive(hixie)

    expect(response.b).to end_with("\r\n\r\n8jKS'y:G*Co,Wxa-".b)
    expect(response).to start_with("HTTP/1.1 101 WebSocket Protocol Handshake\r\n")
    expect(response).to include(
      "Sec-WebSocket-Location: ws://example.com/demo\r\n",
      "Sec-WebSocket-Origin: http://example.com\r\n", "Sec-WebSocket-Protocol: sample\r\n"
    )
  end

  it "answers draft 75" do
    status, fields = response_of(request)

    expect(status).to eq("HTTP/1.1 101 Web Socket Protocol Handshake")
    expect(fields).to include(
      "WebSocket-Origin" => "http://example.com", "WebSocket-Location" => "ws://example.com/demo"
    )
  end

  context "when secure" do
    subject(:handshake) { described_class.new(true) }

    it "says wss" do
      expect(receive(hixie).first).to include("Sec-WebSocket-Location: wss://example.com/demo\r\n")
      expect(handshake).to be_secure
    end
  end

  it "knows path, query, headers, origin and version" do
    receive(hybi({ "X-Two" => %w[1 2] }, "GET /demo?a=1&b=%20&a=3&c HTTP/1.1"))

    expect(handshake).to have_attributes(
      path: "/demo", query_string: "a=1&b=%20&a=3&c", origin: "http://example.com",
      query: { "a" => "3", "b" => "%20", "c" => nil }, protocol_version: 13, secure?: false
    )
    expect(handshake.headers).to include("Host" => "example.com", "X-Two" => %w[1 2])
    expect(handshake.headers_downcased).to include("host" => "example.com", "x-two" => %w[1 2])
  end

  it "takes the target apart where it is a whole URL" do
    receive(hybi({}, "GET http://example.com/demo?x=1 HTTP/1.1"))

    expect(handshake).to have_attributes(path: "/demo", query_string: "x=1")
  end

  it "takes a header in any case, Upgrade too" do
    receive(hybi.gsub("Upgrade: WebSocket", "UPGRADE: webSOCKET"))

    expect(outcome.first).to start_with("HTTP/1.1 101")
  end

  it "ignores what stands in Connection beside Upgrade" do
    receive(hybi("Connection" => "keep-alive, Upgrade"))

    expect(outcome.first).to start_with("HTTP/1.1 101")
  end

  versions = { 1 => "Draft", 2 => "Draft", 3 => "Draft" }.merge(
    [5, 6, 7, 8, 13].to_h { |number| [number, "Version"] }
  )
  versions.each do |number, name|
    it "knows version #{number} by Sec-WebSocket-#{name}" do
      fields = { "Sec-WebSocket-#{name}" => number.to_s }
      receive(name == "Draft" ? hixie("GET / HTTP/1.1", fields) : hybi(fields))

      expect(handshake.protocol_version).to eq(number)
    end
  end

  key = "12998 5 Y3 1.P00"
  {
    "Must be GET request" => -> { hybi({}, "POST /demo HTTP/1.1") },
    "Invalid request URI: /%" => -> { hybi({}, "GET /% HTTP/1.1") },
    "Not an upgrade request" => -> { "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" },
    'Invalid upgrade header: "NonWebSocket"' => -> { hybi("Upgrade" => "NonWebSocket") },
    'Invalid upgrade header: ["WebSocket", "WebSocket"]' =>
      -> { hybi("Upgrade" => %w[WebSocket WebSocket]) },
    "Protocol version 99 not supported" => -> { hybi("Sec-WebSocket-Version" => "99") },
    "Protocol version 4 not supported" => -> { hybi("Sec-WebSocket-Version" => "4") },
    "Protocol version 0 not supported" => -> { hybi("Sec-WebSocket-Version" => "none") },
    "Extra bytes after header" => -> { request("GET / HTTP/1.1", {}, "extra") },
    "Extra bytes after third key" => -> { hixie("GET / HTTP/1.1", {}, "^n:ds[4Ux") },
    "sec-websocket-key header is required" => -> { hybi("Sec-WebSocket-Key" => nil) },
    "Invalid WebSocket-Protocol: empty" =>
      -> { hixie("GET / HTTP/1.1", "Sec-WebSocket-Protocol" => "") },
    "WebSocket key1 or key2 is missing" =>
      -> { hixie("GET / HTTP/1.1", "Sec-WebSocket-Key2" => nil) },
    "Websocket Key1 or Key2 does not contain spaces - " \
    "this is a symptom of a cross-protocol attack" =>
      -> { hixie("GET / HTTP/1.1", "Sec-WebSocket-Key2" => "12998") },
    "Invalid Key #{key.inspect}" => -> { hixie("GET / HTTP/1.1", "Sec-WebSocket-Key2" => key) },
    'Challenge computation out of range for key "99999999999999999 9"' =>
      -> { hixie("GET / HTTP/1.1", "Sec-WebSocket-Key1" => "99999999999999999 9") },
    "Invalid HTTP header: Could not parse data entirely (1 != 29)" =>
      -> { "This is not a HTTP header at\n" },
    "Invalid HTTP header: Could not parse data entirely (4 != 10)" => -> { "\r\n\r\nfoobar" },
    "Invalid HTTP header: Could not parse data entirely (0 != 12)" => -> { "hello there\n" }
  }.each do |message, bytes|
    it "fails with: #{message}" do
      receive(instance_exec(&bytes))

      expect(outcome).to contain_exactly(
        be_instance_of(EM::WebSocket::HandshakeError).and(have_attributes(message: message))
      )
      expect(handshake.instance_variable_get(:@deferred_status)).to eq(:failed)
    end
  end
end
