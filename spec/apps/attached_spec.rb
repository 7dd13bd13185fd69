# frozen_string_literal: true

require_relative "connections"
require_relative "program"

# Ways of applications to have EventMachine make connections of Connection or a class of theirs.
RSpec.describe EventMachine::WebSocket::Connection, "given to EventMachine", :connections do
  connection_class = described_class

  # A server by EM.start_server with these arguments behind host and port.
  def listen(*arguments, port: 0, &accept)
    run_reactor { Server.port_of(EM.start_server("127.0.0.1", port, *arguments, &accept)) }.value
  end

  def subclass(&body) = Class.new(described_class, &body)

  optional = { upstream: "0.5.1 insists on options" }
  {
    "missing" => [optional, []],
    "empty" => [{}, [{}]],
    "with keys that are Strings" =>
      [{}, [{ "secure" => true, "host" => "localhost", "debug" => true }]],
    "with keys of the application" => [{}, [{ app_key: "key", block: proc {}, socket: nil }]]
  }.each do |what, (tags, options)|
    it "takes options that are #{what}, and the port as a String", **tags do
      kept = events
      port = listen(connection_class, *options, port: "0") do |ws|
        kept << ws.instance_variable_get(:@options)
        echo_only(ws)
      end
      converse(connect(port: port))

      expect(kept.pop).to eq(options.first || {})
    end
  end

  it "may be given whatever initialize takes" do
    relay = subclass do
      def initialize(label, number = 7)
        @label = [label, number]
        super({})
        onmessage { |text| send("#{@label.join} #{text}") }
      end
    end
    client = connect(port: listen(relay, "c"))
    client.text("text")

    expect(client.read_text).to eq("c7 text")
  end

  it "may call Connection's initialize by itself, and have methods for callbacks" do
    gatekeeper = subclass do
      define_method(:initialize) do |options|
        connection_class.instance_method(:initialize).bind(self).call(options)
        @onopen = method(:onopen)
        @onmessage = method(:onmessage)
      end

      def onopen(handshake) = send("open #{handshake.path}")
      def onmessage(text) = send("heard #{text}")
    end
    client = connect(port: listen(gatekeeper, {}), target: "/gate")
    client.text("text")

    expect([client.read_text, client.read_text]).to eq(["open /gate", "heard text"])
  end

  it "is told strictly where a callback is a method" do
    strict = subclass do
      def initialize(*)
        super({})
        @onopen = method(:opened)
        onerror { |error| close_with(error) }
      end

      def opened = raise("not to be called with an argument")

      def close_with(error) = send_data("#{error.class}: #{error.message}")
    end
    client = connect(port: listen(strict))

    expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
    client.close(3000)
    expect(client.read_to_end)
      .to eq("ArgumentError: wrong number of arguments (given 1, expected 0)")
  end

  it "calls the triggers that a subclass has in place of callbacks" do
    seen = events
    ribbon = subclass do
      def trigger_on_open(_handshake) = send(+"welcome")
      def trigger_on_message(text) = send("heard #{text}")
      define_method(:trigger_on_close) { |event| seen << event }
    end
    client = connect(port: listen(ribbon, {}))
    client.text("text")
    expect([client.read_text, client.read_text]).to eq(["welcome", "heard text"])
    client.close(1000)

    expect(seen.pop).to eq(code: 1000, reason: "", was_clean: true)
  end

  it "answers plain HTTP in dispatch, with a file, and WebSocket by super" do
    livereload = subclass { include Connections::Livereload }
    port = listen(livereload, {}) do |ws|
      ws.script = script
      echo_only(ws)
    end

    converse(connect(port: port))
    expect(request(port, "/livereload.js?x"))
      .to eq("HTTP/1.1 200 OK\r\nContent-Length: 81920\r\n\r\n".b + File.binread(script))
    expect(request(port, "/")).to end_with("\r\n\r\nnot there")
  end

  it "does the opening handshake by hand in dispatch" do
    port = listen(subclass { include Connections::OwnHandshake }, {}) do |ws|
      record(ws, :open, :close, :error)
      echo_only(ws)
    end
    converse(connect(port: port, target: "/by-hand"))
    expect(next_event(:open).value.path).to eq("/by-hand")
    expect(next_event(:close).value).to eq(code: 1000, reason: "", was_clean: true)

    expect(request(port, "/")).to be_empty
    expect(next_event(:error).value).to have_attributes(message: "Not an upgrade request")
  end

  it "stands beside EM::WebSocket.run in one reactor" do
    serve { |ws| echo_only(ws) }
    port = server.call do
      Server.port_of(EM.start_server("127.0.0.1", 0, connection_class, {}) { |ws| echo_only(ws) })
    end

    [port, server.port, port].each { |one| converse(connect(port: one)) }
  end

  it "is TLS or not as each connection's initialize says" do
    tls = Certificate.tls_options
    every_second = subclass do
      @count = -1
      singleton_class.attr_accessor :count
      define_method(:initialize) do |options|
        secure = (self.class.count += 1).odd?
        super(secure ? options.merge(secure: true, tls_options: tls) : options)
      end
    end
    port = listen(every_second, {}) { |ws| echo_only(ws) }

    converse(connect(port: port))
    converse(connect(port: port, tls: true))
    converse(connect(port: port))
  end

  it "starts TLS where its post_init wants it" do
    tls = Certificate.tls_options
    secure = subclass { define_method(:post_init) { super().then { start_tls(tls) } } }
    port = listen(secure, {}) { |ws| echo_only(ws) }

    converse(connect(port: port, tls: true))
  end

  describe "whose callbacks raise" do
    # An echo server that cannot bear everything; the block sets it up further.
    def listen_touchily
      listen(EM::WebSocket::Connection, {}) do |ws|
        ws.onmessage { |text| text == "raise" ? raise(ArgumentError, "unbearable") : ws.send(text) }
        yield ws if block_given?
      end
    end

    def have_been_unbearable = be_an(ArgumentError).and(have_attributes(message: "unbearable"))

    it "tells onerror, closes with 3000 and goes on" do
      port = listen_touchily { |ws| record(ws, :error, :close) }
      other = connect(port: port)
      client = connect(port: port)
      client.text("raise")

      expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
      expect(next_event(:error).value).to have_been_unbearable
      client.close(3000)
      expect(next_event(:close).value).to eq(code: 3000, reason: "", was_clean: true)
      other.text("still here")
      expect(other.read_text).to eq("still here")
    end

    it "leaves EM.run where there is no onerror, once every connection knows" do
      port = listen_touchily { |ws| ws.onclose { |event| note(:close, event) } }
      reactor = @reactors.last
      clients = Array.new(2) { connect(port: port) }
      clients.first.text("raise")

      expect { reactor.join }.to raise_error(have_been_unbearable)
      expect(events.drain.map(&:value)).to eq([{ code: 1006, was_clean: false }] * 2)
      expect(clients.last).to be_eof
    end

    it "tells EM.error_handler where there is no onerror, and goes on" do
      EM.error_handler { |error| note(:error_handler, error) }
      port = listen_touchily
      other = connect(port: port)
      client = connect(port: port)
      client.text("raise")

      expect(next_event(:error_handler).value).to have_been_unbearable
      expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
      other.text("still here")
      expect(other.read_text).to eq("still here")
    ensure
      EM.error_handler(nil)
    end
  end

  describe "by EM.connect" do
    # A client in the server's reactor, which tells what it hears.
    def em_connect(options = {})
      server.call do
        options = { path: "/" }.merge(options)
        EM.connect("127.0.0.1", server.port, Connections::Client, options) do |ws|
          ws.onopen { note(:open) }
          ws.onmessage { |text| note(:message, text) }
          ws.onbinary { |bytes| note(:binary, bytes) }
          ws.onclose { |event| note(:close, event) }
        end
      end
    end

    { "plain" => {}, "secure" => { secure: true } }.each do |what, options|
      it "is a client of EM::WebSocket.run (#{what})" do
        tls = options.empty? ? {} : options.merge(tls_options: Certificate.tls_options)
        serve(tls) do |ws|
          ws.onopen { |handshake| ws.send("hello #{handshake.path}") }
          echo_only(ws)
        end
        client = em_connect(options.merge(path: "/client"))
        next_event(:open)
        expect(next_event(:message).value).to eq("hello /client")
        server.call { [client.send(+"text"), client.send_binary("bytes")] }

        expect(next_event(:message).value).to eq("text")
        expect(next_event(:binary).value).to eq("bytes")
        server.call { client.close(1000, "done") }
        expect(next_event(:close).value).to eq(code: 1000, reason: "", was_clean: true)
      end
    end
  end

  it "is made of sockets that a reopened EM::WebSocket.run attaches" do
    Program.ruby(Program.fixture("einhorn")) do |program|
      port = Integer(program.wait_for(/^port (\d+)$/)[1])
      client = connect(port: port)
      client.text("text")
      expect(client.read_text).to eq("text")
      client.close(1000)
      program.wait_for(/^closed 1000$/)

      expect(program.stop("TERM")).to be_success
      expect(program.errors).to be_empty
    end
  end
end
