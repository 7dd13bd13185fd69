# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "names" do
  it "is EM::WebSocket too" do
    expect(EM::WebSocket).to equal(described_class)
  end

  it "has its version in EventMachine::Websocket, as em-websocket does" do
    require "em-websocket/version"

    expect(EventMachine::Websocket::VERSION).to match(/\A\d+\.\d+\.\d+/)
  end

  it "leaves the names free that applications take" do
    expect(described_class.constants).not_to include(:Server, :Client)
  end

  it "has em-websocket's limits, which can be set" do
    expect(described_class).to have_attributes(max_frame_size: 10_485_760, close_timeout: 60)
    expect(described_class).to respond_to(:max_frame_size=, :close_timeout=)
  end

  it "knows em-websocket's tables of opcodes" do
    draft = { continuation: 0, close: 1, ping: 2, pong: 3, text: 4, binary: 5 }
    rfc = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

    expect([described_class::Framing03, described_class::Framing05].map { |one| one::FRAME_TYPES })
      .to eq([draft, draft])
    expect(described_class::Framing07::FRAME_TYPES).to eq(rfc)
    expect(described_class::Handler76::TERMINATE_STRING.b).to eq("\xFF\x00".b)
  end

  [75, 76, 1, 2, 3, 5, 6, 7, 8, 13].each do |version|
    it "has a class for the frames of version #{version}" do
      expect(described_class::Handler.klass_factory(version)).to be_a(Class)
    end
  end

  it "has none for version 4" do
    expect { described_class::Handler.klass_factory(4) }
      .to raise_error(described_class::HandshakeError, "Protocol version 4 not supported")
  end

  it "turns the tables around, too" do
    expect(described_class::Framing07::FRAME_TYPES_INVERSE).to include(1 => :text, 8 => :close)
    expect(described_class::Framing03::FRAME_TYPES_INVERSE).to include(4 => :text, 1 => :close)
    expect(described_class::Framing05::FRAME_TYPES_INVERSE).to include(4 => :text, 1 => :close)
  end

  it "has draft 03's table in Framing04" do
    expect(described_class::Framing04::FRAME_TYPES).to eq(described_class::Framing03::FRAME_TYPES)
  end

  %i[abort close_websocket_private debug].each do |name|
    it "keeps Connection##{name} private" do
      expect(described_class::Connection.private_method_defined?(name)).to be(true)
    end
  end

  %i[
    onopen onmessage onbinary onclose onerror onping onpong trigger_on_open trigger_on_message
    trigger_on_binary trigger_on_close trigger_on_error trigger_on_ping trigger_on_pong
    send send_text send_binary ping pong pingable? supports_close_codes? close close_websocket
    state max_frame_size max_frame_size= close_timeout dispatch receive_data post_init unbind
    send_flash_cross_domain_file
  ].each do |name|
    it "has Connection##{name}" do
      expect(described_class::Connection.public_method_defined?(name)).to be(true)
    end
  end

  describe "what subclasses of Connection call of it" do
    # A connection of this class, open, and its client.
    def open_connection_of(connection_class, options = {})
      server = Server.new(options, connection_class) { |ws| record(ws) }
      started(server.reactor)
      client = connect(port: server.port)
      next_event(:open)
      [server.connection, client, server]
    end

    def subclass(&body) = Class.new(described_class::Connection, &body)

    it "aborts without a closing handshake" do
      ws, client, server = open_connection_of(described_class::Connection)
      server.call { ws.__send__(:abort) }

      expect(client).to be_eof
      expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
    end

    it "aborts for a reason", upstream: "0.5.1 takes none" do
      ws, client, server = open_connection_of(described_class::Connection)
      server.call { ws.__send__(:abort, :outbound_limit_reached) }

      expect(client).to be_eof
      expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
    end

    it "closes with any code by close_websocket_private" do
      ws, client, server = open_connection_of(described_class::Connection)
      server.call { ws.__send__(:close_websocket_private, 1001, "going away") }

      expect(client.read(:close)).to eq("\x03\xE9going away".b)
      expect(ws.state).to eq(:closing)
      client.close(1001)
      expect(next_event(:close).value).to include(code: 1001, was_clean: true)
    end

    it "ends a connection without handshake by close_websocket_private" do
      accepted = Mailbox.new
      server = Server.new({}, described_class::Connection) { |ws| accepted << ws }
      started(server.reactor)
      client = dial(port: server.port)
      ws = accepted.pop
      server.call { ws.__send__(:close_websocket_private, 1000, nil) }

      expect(client.read_to_end).to be_empty
    end

    it "prints by debug where :debug is set" do
      quiet = described_class::Connection.new(nil, {})
      loud = nil
      expect { loud = described_class::Connection.new(nil, debug: true) }.to output.to_stdout

      expect { quiet.__send__(:debug, [:anything, 1]) }.not_to output.to_stdout
      expect { loud.__send__(:debug, [:anything, 1]) }
        .to output(/\[\[:anything, 1\]\]/).to_stdout
    end

    # The way CompassApp does it.
    def own_dispatch
      web_socket = described_class
      subclass do
        define_method(:dispatch) do |data|
          @handshake ||= web_socket::Handshake.new(@secure || @secure_proxy).tap do |handshake|
            handshake.callback do |response, handler_class|
              debug [:upgrade_response, response]
              send_data response
              @handler = handler_class.new(self, @debug)
              trigger_on_open(handshake)
            end
            handshake.errback do |error|
              debug [:error, error]
              trigger_on_error(error)
              abort
            end
          end
          @handshake.receive_data(data)
        end
      end
    end

    Drafts::ALL.each do |draft|
      it "lets dispatch be written anew with Handshake and its class of frames, on #{draft}" do
        server = Server.new({}, own_dispatch) { |ws| echo(ws) }
        started(server.reactor)
        client = connect(draft, port: server.port, target: "/here?a=1")
        client.text("frame")

        expect(next_event(:open).value).to have_attributes(
          path: "/here", query: { "a" => "1" }, protocol_version: draft.number
        )
        expect(client.read_text).to eq("frame")
        server.call { server.connection.close }
        expect(draft.pingable? ? client.read(:close) : client.read_to_end).to be_a(String)
      end
    end

    it "tells such a dispatch of a request that is refused" do
      server = Server.new({}, own_dispatch) { |ws| record(ws) }
      started(server.reactor)
      client = dial(port: server.port)
      client.write(client.request(headers: { "Sec-WebSocket-Version" => "99" }))

      expect(next_event(:error).value).to be_a(described_class::HandshakeError)
        .and have_attributes(message: "Protocol version 99 not supported")
      expect(client.read_to_end).to be_empty
      expect(events).to be_empty
    end

    [nil, 123, "asdf"].each do |signature|
      it "answers without a reactor, made of #{signature.inspect}" do
        sent = []
        connection = subclass { define_method(:send_data) { |data| sent << data } }
                     .new(signature, {})
        connection.onopen { |handshake| sent << handshake.path }
        connection.onmessage { |text| connection.send(text) }
        peer = Class.new(RawClient) { def initialize = @draft = Drafts::RFC }.new
        connection.receive_data(peer.request(target: "/page"))
        connection.receive_data(peer.encode(:text, "frame"))

        expect(sent.shift).to start_with("HTTP/1.1 101 ")
        expect(sent).to eq(["/page", "\x81\x05frame".b])
        expect(connection.state).to eq(:connected)
      end
    end
  end
end
