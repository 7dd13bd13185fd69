# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "opening handshake" do
  # The server's answer to these bytes, all of it, where it hangs up.
  def answer_to(bytes)
    serve { |ws| record(ws) }
    client = dial
    client.write(bytes)
    client.read_to_end
  end

  # Requests that are refused: what onerror is told, and the status that the client gets.
  refused = {
    "another method" => [{ verb: "POST" }, "Must be GET request", 400],
    "an invalid URI" => [{ target: "/%" }, "Invalid request URI: /%", 400],
    "another Upgrade" => [
      { headers: { "Upgrade" => "NonWebSocket" } }, 'Invalid upgrade header: "NonWebSocket"', 400
    ],
    "two Upgrades" => [
      { headers: { "Upgrade" => %w[websocket websocket] } },
      'Invalid upgrade header: ["websocket", "websocket"]', 400
    ],
    "version 99" => [
      { headers: { "Sec-WebSocket-Version" => "99" } }, "Protocol version 99 not supported", 426
    ],
    "version 4" => [
      { headers: { "Sec-WebSocket-Version" => "4" } }, "Protocol version 4 not supported", 426
    ],
    "no key" => [
      { headers: { "Sec-WebSocket-Key" => nil } }, "sec-websocket-key header is required", 400
    ]
  }

  refused.each do |what, (options, message, status)|
    it "refuses #{what}: onerror, then the end, no onclose" do
      serve { |ws| record(ws) }
      client = dial
      client.write(client.request(**options))
      client.read_to_end

      expect(next_event(:error)).to have_attributes(
        state: :handshake, thread: server.thread,
        value: be_instance_of(EM::WebSocket::HandshakeError).and(have_attributes(message: message))
      )
      expect(server.call { events.drain }).to be_empty
    end

    it "answers #{what} with #{status}", :fixed do
      serve
      client = dial
      client.write(client.request(**options))
      client.read_response

      expect(client.response[:status]).to start_with("HTTP/1.1 #{status} ")
      expect(client.response[:lines]).to include("Sec-WebSocket-Version: 13") if status == 426
      client.read_to_end
    end
  end

  {
    "an unknown key" => [{ "Sec-WebSocket-Key" => "c2hvcnQ=" }, 400],
    "no Host" => [{ "Host" => nil }, 400],
    "a key without a version" => [{ "Sec-WebSocket-Version" => nil }, 426]
  }.each do |what, (headers, status)|
    it "refuses #{what} with #{status}", :fixed do
      serve { |ws| record(ws) }
      client = dial
      client.write(client.request(headers: headers))
      client.read_response

      expect(client.response[:status]).to start_with("HTTP/1.1 #{status} ")
      expect(next_event(:error).value).to be_an_instance_of(EM::WebSocket::HandshakeError)
    end
  end

  Drafts::ALL.each do |draft|
    # As nginx does unless it is told `proxy_http_version 1.1`.
    it "takes a request that a proxy forwards in HTTP/1.0, in #{draft}" do
      serve
      client = connect(draft, http: "HTTP/1.0", headers: { "Connection" => "upgrade" })
      client.text("hello")

      expect(client.response[:status]).to eq(draft.status)
      expect(client.read_text).to eq("hello")
    end
  end

  it "refuses HTTP/1.0 where it is strict", :extension do
    serve(strict: true)

    expect(connect(http: "HTTP/1.0").response[:status]).to eq("HTTP/1.1 400 Bad Request")
    expect(next_event(:error).value.message).to eq("HTTP/1.1 or later is required")
  end

  { "in the background" => {}, "on EventMachine's own sockets" => { attached: true } }
    .each do |where, metadata|
    describe(":versions #{where}", :extension, **metadata) do
      def spoken(options)
        serve(options)
        Drafts::ALL.select do |draft|
          connect(draft).response[:status] == draft.status
        end.map(&:number)
      end

      {
        {} => Drafts::ALL.map(&:number), { strict: true } => [8, 13], { versions: [13] } => [13],
        { versions: [8, 13] } => [8, 13], { versions: [75, 3], strict: true } => [75, 3],
        { versions: nil } => Drafts::ALL.map(&:number), { versions: nil, strict: true } => [8, 13]
      }.each do |options, numbers|
        it "speaks #{numbers.join(", ")} where it is told #{options}" do
          expect(spoken(options)).to match_array(numbers)
        end
      end

      it "refuses another like one that does not exist, and lists its own" do
        serve(versions: [76, 8, 13])
        client = connect(Drafts[7])

        expect(client.response[:status]).to eq("HTTP/1.1 426 Upgrade Required")
        expect(client.response[:lines]).to include("Sec-WebSocket-Version: 13, 8")
        expect(next_event(:error).value.message).to eq("Protocol version 7 not supported")
      end
    end
  end

  [[], [4], [13, 9], 13, "13", ["13"], [13.0], [nil], [2**64], [-13], { 13 => true }, true]
    .each do |versions|
    it "says at the start that :versions cannot be #{versions.inspect}", :extension do
      expect { serve(versions: versions) }.to raise_error(
        ArgumentError, "versions: #{versions.inspect} is no Array with some of " \
                       "13, 8, 7, 6, 5, 3, 2, 1, 76, 75"
      )
    end
  end

  ["//x/admin", "//x/admin?//y", "///admin"].each do |target|
    it "has #{target} for a path of slashes, as sent", :fixed do
      serve(strict: true)
      connect(target: target)

      expect(next_event(:open).value.path).to eq(target[/[^?]+/])
    end
  end

  it "refuses a fragment in the target", :fixed do
    serve { |ws| record(ws) }

    expect(connect(target: "/admin#.png").response[:status]).to eq("HTTP/1.1 400 Bad Request")
    expect(next_event(:error).value.message).to eq("Invalid request URI: /admin#.png")
  end

  it "hangs up on plain HTTP without a word" do
    expect(answer_to("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")).to eq("")
    expect(next_event(:error).value).to have_attributes(message: "Not an upgrade request")
    expect(server.call { events.drain }).to be_empty
  end

  it "answers plain HTTP with 426 where it is strict", :extension do
    serve(strict: true)
    client = dial
    client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    expect(client.read_response[:status]).to start_with("HTTP/1.1 426 ")
  end

  it "refuses frames without a mask where it is strict", :extension do
    serve(strict: true)
    client = connect
    client.text("x", masked: false)

    expect(client.read(:close)).to start_with("\x03\xEA".b)
  end

  it "takes frames without a mask by default" do
    serve
    client = connect
    client.text("x", masked: false)

    expect(client.read_text).to eq("x")
  end

  {
    "\r\n\r\nfoobar" => "(4 != 10)",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03 a client's TLS" => "(0 != 26)"
  }.each do |garbage, counted|
    it "hangs up on #{garbage[0, 8].inspect}" do
      answer_to(garbage)

      expect(next_event(:error).value).to be_instance_of(EM::WebSocket::HandshakeError)
        .and have_attributes(
          message: "Invalid HTTP header: Could not parse data entirely #{counted}"
        )
    end
  end

  it "hangs up on a header that never ends" do
    answer_to("GET / HTTP/1.1\r\nX-Long: #{"x" * 100_000}")

    expect(next_event(:error).value).to be_instance_of(EM::WebSocket::HandshakeError)
  end

  it "hangs up on a header of too many fields", :fixed do
    answer_to("GET / HTTP/1.1\r\n#{"X: y\r\n" * 200}")

    expect(next_event(:error).value).to be_instance_of(EM::WebSocket::HandshakeError)
  end

  it "goes on with the others after a refusal" do
    serve
    other = connect
    client = dial
    client.write("garbage\r\n\r\n")
    client.read_to_end
    other.text("alive")

    expect(other.read_text).to eq("alive")
  end

  it "lets onerror answer in its own words", upstream: "0.5.1 drops what onerror sends" do
    serve { |ws| ws.onerror { ws.send_data("in my own words") } }
    client = dial
    client.write(client.request(verb: "POST"))

    expect(client.read_to_end).to include("in my own words")
  end

  it "answers the healthcheck, and tells nobody", upstream: "0.5.1 has none" do
    answer = answer_to("GET /healthcheck HTTP/1.1\r\nHost: localhost\r\n\r\n")

    expect(answer).to start_with("HTTP/1.1 200 OK\r\n").and end_with("\r\n\r\nOK")
    expect(server.call { events.drain }).to be_empty
  end

  it "answers the policy file request of Flash, and tells nobody" do
    expect(answer_to("<policy-file-request/>\0")).to eq(
      '<?xml version="1.0"?><cross-domain-policy>' \
      '<allow-access-from domain="*" to-ports="*"/></cross-domain-policy>'
    )
    expect(server.call { events.drain }).to be_empty
  end

  describe "subprotocols" do
    it "answers no subprotocol where none is offered" do
      serve

      expect(connect.response[:lines].grep(/protocol/i)).to be_empty
    end

    it "selects one of several", :fixed do
      serve
      client = connect(headers: { "Sec-WebSocket-Protocol" => "chat, superchat" })

      expect(client.response[:lines].grep(/protocol/i))
        .to contain_exactly(/\ASec-WebSocket-Protocol: (chat|superchat)\z/)
    end

    it "refuses an empty one in draft 76" do
      serve { |ws| record(ws) }
      client = dial(Drafts[76])
      client.write(client.request(headers: { "Sec-WebSocket-Protocol" => "" }))
      client.read_to_end

      expect(next_event(:error).value.message).to eq("Invalid WebSocket-Protocol: empty")
    end
  end

  describe "Handshake of a connection" do
    it "gives a repeated header as an Array, in the client's spelling" do
      serve
      connect(headers: { "x-Twice" => %w[a b], "ORIGIN" => nil })
      handshake = next_event(:open).value

      expect(handshake.headers).to include("x-Twice" => %w[a b])
      expect(handshake.headers_downcased).to include("x-twice" => %w[a b])
    end

    it "takes Sec-WebSocket-Origin for the origin" do
      serve
      connect(Drafts[8], headers: { "Origin" => nil, "Sec-WebSocket-Origin" => "http://old" })

      expect(next_event(:open).value.origin).to eq("http://old")
    end

    it "outlives its connection" do
      serve
      client = connect(target: "/kept?a=1")
      handshake = next_event(:open).value
      client.disconnect
      next_event(:close)
      GC.start

      expect([handshake.path, handshake.query]).to eq(["/kept", { "a" => "1" }])
    end
  end

  # Blocks for `onopen`, and whether they see the handshake.
  blocks = {
    "no block" => ["nil", false],
    "a block without parameters" => ["proc {}", false],
    "a block with a parameter" => ["proc { |handshake| handshake.path }", true],
    "a block with any number of parameters" => ["proc { |*all| all.first.path }", true],
    "a block with a numbered parameter" => ["proc { _1.path }", true],
    "a lambda" => ["->(handshake) { handshake.path }", true],
    "the proc of a Symbol" => [":path.to_proc", true]
  }
  # In a process of its own: where the class has ever been given hooks, they could see it.
  blocks.each do |name, (block, sees_it)|
    it "makes a Handshake #{sees_it ? "" : "of no client "}for #{name}", :extension do
      said = run_apart(<<~RUBY)
        #{Apart::CLIENT}
        GC.disable
        EM.run do
          signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
            ws.onopen(&#{block})
            ws.onmessage do
              puts ObjectSpace.each_object(EM::WebSocket::Handshake).count
              EM.stop
            end
          end
          port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
          Thread.new { client(port).write(frame(1, "open")) }
        end
      RUBY

      expect(said).to eq(sees_it ? "1\n" : "0\n")
    end
  end
end
