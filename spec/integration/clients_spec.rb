# frozen_string_literal: true

require "json"
require "open3"
require "websocket"

RSpec.describe EventMachine::WebSocket, "with clients of other hands" do
  sizes = [0, 1, 125, 126, 65_535, 65_536, 1_048_576]

  # A server that echoes, and does on request what the clients want to see.
  def serve_requests(options = {})
    serve(options) do |ws|
      record(ws, :open, :close, :error)
      ws.onpong { |bytes| ws.send("ponged #{bytes}") }
      ws.onbinary { |bytes| ws.send_binary(bytes) }
      ws.onmessage do |text|
        case text
        when "ping me" then ws.ping("from the server")
        when "close me" then ws.close(4001, "as you wish")
        else ws.send(text)
        end
      end
    end
  end

  describe "Debian's ruby-websocket" do
    # Talks through WebSocket::Handshake::Client and WebSocket::Frame over a plain socket.
    client_class = Struct.new(:socket, :handshake, :incoming) do
      def open
        socket.write(handshake.to_s)
        handshake << socket.read_nonblock_or_wait until handshake.finished?
        self.incoming = WebSocket::Frame::Incoming::Client.new(version: handshake.version)
        # What it calls the leftovers of draft 76 is the answer to the challenge.
        incoming << handshake.leftovers if handshake.leftovers && handshake.version != 76
      end

      def write(type, data = "", **options)
        frame = WebSocket::Frame::Outgoing::Client.new(
          version: handshake.version, type: type, data: data, **options
        )
        socket.write(frame.to_s)
      end

      def read
        frame = incoming.next
        until frame
          incoming << socket.read_nonblock_or_wait
          frame = incoming.next
        end
        frame
      end
    end

    # The next bytes of a socket, waiting for them as long as an example may.
    waiting = Module.new do
      def read_nonblock_or_wait
        Timeout.timeout(8) { readpartial(65_536) }
      end
    end

    def open_client(client_class, waiting, version, target: "/chat?room=1")
      handshake = WebSocket::Handshake::Client.new(
        url: "ws://127.0.0.1:#{server.port}#{target}", origin: "http://example.com",
        version: version
      )
      socket = dial.socket.to_io.extend(waiting)
      client_class.new(socket, handshake).tap(&:open)
    end

    [75, 76, 7, 8, 13].each do |version|
      context "as draft #{version}" do
        let(:client) { open_client(client_class, waiting, version) }

        before { serve_requests }

        it "opens" do
          expect(client.handshake).to be_valid
          expect(next_event(:open).value).to have_attributes(
            path: "/chat", query: { "room" => "1" }, origin: "http://example.com",
            protocol_version: version
          )
        end

        (sizes - [1_048_576]).each do |size|
          it "gets #{size} bytes of text back" do
            client.write(:text, "x" * size)

            expect(client.read.to_s).to eq("x" * size)
          end
        end

        it "gets characters of several bytes back" do
          client.write(:text, "Grüße, 世界 🎉")

          expect(client.read.to_s.dup.force_encoding("UTF-8")).to eq("Grüße, 世界 🎉")
        end

        it "closes" do
          version > 70 ? client.write(:close) : client.write(:close, "done", code: 1000)

          expect(client.read.type).to eq(:close)
          expect(next_event(:open)).to be_truthy
          expect(next_event(:close).value).to eq(Drafts[version].close_event(1000, "done"))
        end

        next if version > 70

        it "gets bytes, pongs, pings and a close" do
          client.write(:binary, "\xFF\x00".b)
          client.write(:ping, "now")
          client.write(:text, "ping me")
          frames = Array.new(3) { client.read }
          client.write(:text, "close me")
          close = client.read

          expect(frames.map { |frame| [frame.type, frame.to_s.b] }).to contain_exactly(
            [:binary, "\xFF\x00".b], [:pong, "now"], [:ping, "from the server"]
          )
          expect([close.type, close.code, close.to_s]).to eq([:close, 4001, "as you wish"])
        end
      end
    end
  end

  installed = File.expand_path("../../tmp/clients", __dir__)
  scripts = File.expand_path("../clients", __dir__)
  commands = {
    "npm's ws" => [{ "NODE_PATH" => "#{installed}/node_modules" }, "node", "#{scripts}/ws.cjs"],
    "PyPI's websockets" => [{}, "#{installed}/venv/bin/python", "#{scripts}/websockets_client.py"]
  }

  commands.each do |name, command|
    describe name do
      def converse(command, *arguments)
        output, errors, = Open3.capture3(*command, *arguments)
        raise "the client printed nothing (spec/clients/install ran?): #{errors}" if output.empty?

        JSON.parse(output)
      end

      expected = {
        "protocol" => "", "text" => sizes, "binary" => sizes, "fragments" => "Hello 世界",
        "pong" => "are you there?", "ponged" => "ponged from the server",
        "close" => [4001, "as you wish"]
      }

      it "gets everything back" do
        serve_requests

        expect(converse(command, "ws://127.0.0.1:#{server.port}/")).to include(expected)
        expect([next_event(:open).value.protocol_version, next_event(:close).value])
          .to match([13, include(code: 4001, was_clean: true)])
      end

      it "gets everything back over TLS" do
        serve_requests(secure: true, tls_options: Certificate.tls_options)

        expect(converse(command, "wss://127.0.0.1:#{server.port}/")).to include(expected)
      end

      it "agrees on the protocol it offers", upstream: "0.5.1 does not answer protocols" do
        serve_requests

        expect(converse(command, "ws://127.0.0.1:#{server.port}/", "chat"))
          .to include(expected.merge("protocol" => "chat"))
      end
    end
  end
end
