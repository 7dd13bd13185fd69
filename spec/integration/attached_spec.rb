# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::Connection, "on EventMachine's own sockets" do
  Drafts::ALL.each do |draft|
    describe draft.to_s, :attached do
      include_examples "an opening handshake", draft
      include_examples "messages", draft
      include_examples "pings and pongs", draft
      include_examples "a closing handshake", draft
      include_examples "limits and broken rules", draft
    end
  end

  # A server of this class of connections; `arguments` follow it in EM.start_server.
  def attach(connection_class, *arguments, port: 0)
    listened = Mailbox.new
    run_reactor do
      signature = EM.start_server("127.0.0.1", port, connection_class, *arguments) do |ws|
        yield ws if block_given?
      end
      listened << Server.port_of(signature)
    end
    listened.pop
  end

  def subclass(&body) = Class.new(described_class, &body)

  it "keeps the options of EM.start_server as they are given" do
    options = { "string" => 1, extra: :kept }
    port = attach(described_class, options, port: "0") { |ws| note(:accept, ws) }
    dial(port: port)

    expect(next_event(:accept).value.instance_variable_get(:@options)).to eq(options)
  end

  it "gets the callbacks that initialize of a subclass sets" do
    greeter = subclass do
      def initialize
        @greeting = "hello"
        super({})
        onopen { |handshake| send("#{@greeting} #{handshake.path}") }
      end
    end

    expect(connect(port: attach(greeter), target: "/you").read_text).to eq("hello /you")
  end

  it "speaks TLS where initialize of a subclass passes :secure" do
    secure = subclass do
      def initialize(*)
        super(secure: true, tls_options: Certificate.tls_options)
        onmessage { |text| send(text) }
      end
    end
    client = connect(port: attach(secure), tls: true)
    client.text("secret")

    expect(client.read_text).to eq("secret")
  end

  it "lets dispatch answer plain HTTP beside WebSocket" do
    both = subclass do
      def initialize(options)
        super
        onmessage { |text| send(text) }
      end

      def dispatch(data)
        return super unless data.start_with?("GET /page ")

        send_data("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
        close_connection_after_writing
      end
    end
    port = attach(both, {})
    page = dial(port: port)
    page.write("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client = connect(port: port)
    client.text("frame")

    expect(page.read_to_end).to end_with("\r\n\r\npage")
    expect(client.read_text).to eq("frame")
  end

  it "calls the hooks of a subclass" do
    calls = events
    hooked = subclass do
      define_method(:post_init) { super().then { calls << :post_init } }
      define_method(:receive_data) { |data| (calls << :receive_data) && super(data) }
      define_method(:trigger_on_open) { |handshake| (calls << :open) && super(handshake) }
      define_method(:trigger_on_message) { |text| (calls << [:message, text]) && super(text) }
      define_method(:trigger_on_close) { |event| (calls << [:close, event[:code]]) && super(event) }
      define_method(:unbind) { (calls << :unbind) && super() }
    end
    client = connect(port: attach(hooked, {}))
    expect(Array.new(3) { calls.pop }).to eq(%i[post_init receive_data open])
    client.text("text")
    expect(Array.new(2) { calls.pop }).to eq([:receive_data, [:message, "text"]])
    client.close(1000)

    expect(Array.new(3) { calls.pop }).to eq([:receive_data, :unbind, [:close, 1000]])
  end

  it "serves a listening socket of the caller" do
    listener = TCPServer.new("127.0.0.1", 0)
    listener.autoclose = false # EventMachine closes it
    port = listener.addr[1]
    run_reactor do
      EM.attach_server(listener, described_class, {}) do |ws|
        ws.onmessage { |text| ws.send(text) }
      end
    end
    client = connect(port: port)
    client.text("inherited")

    expect(client.read_text).to eq("inherited")
  end

  it "tells every open connection of EM.stop" do
    port = attach(described_class, {}) { |ws| record(ws) }
    client = connect(port: port)
    next_event(:open)
    EM.next_tick { EM.stop }

    expect(next_event(:close)).to have_attributes(
      value: { code: 1006, was_clean: false }, state: :closed, reactor_running: true
    )
    expect(client).to be_eof
  end

  [nil, 123, "asdf"].each do |signature|
    it "can be made without a reactor, of #{signature.inspect}" do
      seen = []
      connection = subclass { define_method(:dispatch) { |data| seen << data } }.new(signature, {})
      connection.receive_data("GET / HTTP/1.1\r\n\r\n")

      expect([seen, connection.state]).to eq([["GET / HTTP/1.1\r\n\r\n"], :handshake])
    end
  end

  it "calls hooks that one connection's singleton has" do
    seen = events
    serve do |ws|
      ws.onmessage { |text| ws.send(text) }
      ws.define_singleton_method(:receive_data) do |data|
        seen << data
        singleton_class.send(:remove_method, :receive_data)
        receive_data(data)
      end
    end
    client = connect
    client.text("after the hook")

    expect(seen.pop).to start_with("GET / HTTP/1.1\r\n")
    expect(client.read_text).to eq("after the hook")
  end
end
