# frozen_string_literal: true

require "rbconfig"

# Connections whose frames are seen one by one, and so are sent one by one.
RSpec.describe EventMachine::WebSocket::Connection, "whose send_data is the application's",
               :attached do
  let(:letters) { ("a".."f").to_a }

  # The client's messages, in one segment.
  def say(client, *texts)
    client.write(texts.map { |text| client.encode(:text, text) }.join)
  end

  def read_texts(client, count) = Array.new(count) { client.read_text }

  def subclass(&body) = Class.new(described_class, &body)

  # A server whose connections are of this class.
  def serve_as(connection_class, &accept)
    server = Server.new({}, connection_class, events, &accept)
    started(server.reactor)
    @server = server
  end

  let(:seen) { Mailbox.new }
  let(:frames) { letters.map { |letter| "\x81\x01#{letter}".b } }

  def watching
    seen = self.seen
    Module.new { define_method(:send_data) { |data| (seen << data) && super(data) } }
  end

  def expect_each_frame(client)
    seen.drain
    say(client, *letters)
    expect(read_texts(client, 6)).to eq(letters)
    expect(seen.drain).to eq(frames)
  end

  it "shows it each frame, in a subclass" do
    seen = self.seen
    watching = subclass { define_method(:send_data) { |data| (seen << data) && super(data) } }
    serve_as(watching) { |ws| echo(ws) }

    expect_each_frame(connect)
  end

  %i[include prepend].each do |how|
    it "shows it each frame, in a module that is there by #{how}" do
      watching = self.watching
      serve_as(subclass { public_send(how, watching) }) { |ws| echo(ws) }

      expect_each_frame(connect)
    end
  end

  places = {
    "its singleton" => ->(ws, _) { define_on(ws) },
    "a module that extends it" => ->(ws, made) { ws.extend(made) },
    "a module prepended to its singleton" => ->(ws, made) { ws.singleton_class.prepend(made) }
  }
  places.each do |where, place|
    it "shows it each frame, in #{where}, however late" do
      serve
      client = connect
      ws = open_connection
      say(client, *letters)
      expect(read_texts(client, 6)).to eq(letters)
      server.call { instance_exec(ws, watching, &place) }

      expect_each_frame(client)
    end

    it "shows it each frame from there on, in #{where}, where a callback puts it there" do
      serve do |ws|
        ws.onmessage do |text|
          ws.send(text)
          instance_exec(ws, watching, &place) if text == "b"
        end
      end
      client = connect
      say(client, *letters)

      expect(read_texts(client, 6)).to eq(letters)
      expect(seen.drain).to eq(frames.last(4))
    end
  end

  def define_on(connection)
    seen = self.seen
    connection.define_singleton_method(:send_data) { |data| (seen << data) && super(data) }
  end

  # A process of its own: what is done to EventMachine's classes stays. It prints how often the way
  # out was taken for three answers.
  program = <<~'RUBY'
    EM.run do
      server = EM.start_server("127.0.0.1", 0, EM::WebSocket::Connection, {}) do |ws|
        ws.onopen { $sent = 0 }
        ws.onmessage { |text| ws.send(text) }
        ws.onclose { EM.stop }
      end
      port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
      Thread.new do
        client = TCPSocket.new("127.0.0.1", port)
        client.write("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" \
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        nil until client.gets == "\r\n"
        client.write(%w[a b c].map { |text| "\x81\x81\0\0\0\0#{text}" }.join)
        client.read(9)
        puts $sent
        client.close
      end
    end
  RUBY
  counting = "def send_data(*) = ($sent += 1) && super"
  overridden = {
    "a module prepended to EM::Connection" =>
      "EM::Connection.prepend(Module.new { #{counting} })",
    "EM::Connection, redefined" => <<~RUBY,
      class EM::Connection
        alias send_data_before send_data
        def send_data(data) = ($sent += 1) && send_data_before(data)
      end
    RUBY
    "a module included in Connection" =>
      "EM::WebSocket::Connection.include(Module.new { #{counting} })",
    "EM.send_data" => "EM.singleton_class.prepend(Module.new { #{counting} })"
  }

  def run_apart(*parts)
    library = UPSTREAM ? [] : ["-I", File.expand_path("../../lib", __dir__)]
    script = ['require "eventmachine"', "$sent = 0", *parts].join("\n")
    IO.popen([RbConfig.ruby, *library, { err: %i[child out] }], "r+") do |ruby|
      ruby.write(script)
      ruby.close_write
      ruby.read
    end
  end

  overridden.each do |where, how|
    it "shows each frame to #{where}" do
      expect(run_apart('require "em-websocket"', how, program)).to eq("3\n")
    end

    next if where.include?("included")

    it "shows each frame to #{where}, before em-websocket was there" do
      expect(run_apart(how, 'require "em-websocket"', program)).to eq("3\n")
    end
  end
end
