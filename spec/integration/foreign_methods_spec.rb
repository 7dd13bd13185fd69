# frozen_string_literal: true

require "rbconfig"
require "tempfile"

RSpec.describe EventMachine::WebSocket::Connection, "and EventMachine's methods" do
  # Some arguments for each method that has any. What is not named here is called with none, or,
  # where EventMachine has it anew, with zeros.
  arguments = {
    :associate_callback_target => [1], :comm_inactivity_timeout= => [1.5], :get_sock_opt => [1, 2],
    :notify_readable= => [true], :notify_writable= => [true], :original_method => [:state],
    :pending_connect_timeout= => [1.5], :proxy_incoming_to => :itself, :receive_data => ["x"],
    :reconnect => ["127.0.0.1", 1], :send_data => ["x"], :send_datagram => ["x", "127.0.0.1", 1],
    :send_file_data => [__FILE__], :set_comm_inactivity_timeout => [1.5],
    :set_pending_connect_timeout => [1.5], :set_sock_opt => [1, 2, 1], :signature= => :signature,
    :ssl_verify_peer => ["PEM"], :start_tls => [{}], :stream_file_data => [__FILE__]
  }
  # These take no signature.
  harmless = %i[associate_callback_target signal_loopbreak signature signature=]
  names = EventMachine::Connection.public_instance_methods(false).sort

  def arguments_for(ws, name, given)
    case given
    when :itself then [ws]
    when :signature then [ws.signature]
    when nil then [0] * [ws.method(name).arity, 0].max
    else given
    end
  end

  # It comes back, or says by name that it cannot be done, and EventMachine was not asked.
  define_method(:expect_to_be_harmless) do |ws, name, given|
    asked = server.call { asked_of_eventmachine { call_foreign(ws, name, given) } }

    expect(asked - harmless).to be_empty
    other = connect
    other.text("alive")
    expect(other.read_text).to eq("alive")
  end

  def call_foreign(ws, name, given)
    ws.public_send(name, *arguments_for(ws, name, given))
  rescue EM::WebSocket::WebSocketError => e
    expect(e.message).to start_with("#{name}: ")
  end

  # EventMachine's native functions that the block calls.
  def asked_of_eventmachine(&block)
    asked = []
    reactor = Thread.current
    native = [EventMachine.singleton_class, EventMachine::Connection]
    TracePoint.new(:c_call) do |call|
      asked << call.method_id if Thread.current == reactor && native.include?(call.defined_class)
    end.enable(&block)
    asked
  end

  names.each do |name|
    it "never asks EventMachine: #{name} on an open connection", :fixed do
      serve
      connect
      expect_to_be_harmless(open_connection, name, arguments[name])
    end

    it "never asks EventMachine: #{name} on a closed connection", :fixed do
      serve
      client = connect
      ws = open_connection
      client.disconnect
      next_event(:close)

      expect_to_be_harmless(ws, name, arguments[name])
    end
  end

  # A process of its own: it is what would be aborted.
  def run_apart(script)
    library = UPSTREAM ? [] : ["-I", File.expand_path("../../lib", __dir__)]
    IO.popen([RbConfig.ruby, *library, "-r", "em-websocket", "-e", script, { err: %i[child out] }],
             &:read)
  end

  it "survives stop_server and get_sockname of a server that has ended", :fixed do
    said = run_apart(<<~RUBY)
      signature = nil
      start = -> { signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| } }
      ask = -> { [EM.stop_server(signature), EM.get_sockname(signature)] }
      EM.run do
        start.call
        EM.next_tick do
          EM.stop_server(signature)
          EM.add_timer(0.05) { p(ask.call).then { EM.stop } }
        end
      end
      EM.run { start.call.then { EM.next_tick { EM.stop } } }
      EM.run { p(ask.call).then { EM.stop } }
    RUBY

    expect(said).to eq("[nil, nil]\n" * 2)
  end

  it "forgets a server that is stopped in the tick of its start", :fixed do
    said = run_apart(<<~RUBY)
      EM.run do
        signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| }
        EM.stop_server(signature)
        EM.add_timer(0.05) { p(EM.get_sockname(signature)).then { EM.stop } }
      end
    RUBY

    expect(said).to eq("nil\n")
  end

  it "sends a file's bytes by send_file_data" do
    serve
    client = connect
    ws = open_connection
    bytes = Random.new(1).bytes(20_000)
    Tempfile.create("sent") do |file|
      file.binmode
      file.write(bytes)
      file.flush
      server.call do
        ws.send_file_data(file.path)
        ws.close_connection_after_writing
      end

      expect(client.read_to_end).to eq(bytes)
    end
  end

  it "answers nil to close, and does nothing to another", :fixed do
    serve
    client = connect
    ws = open_connection

    expect(server.call { [ws.close(4000, "bye"), ws.close(4001), ws.close] }).to eq([nil] * 3)
    expect(client.read(:close)).to eq("\x0F\xA0bye".b)
    client.close(4000)
    expect(client).to be_eof
    expect(next_event(:close).value).to include(code: 4000, was_clean: true)
    expect(server.call { ws.close }).to be_nil
    expect(events).to be_empty
  end

  it "answers a ping while the reactor is busy with the message before it", :fixed do
    gate = Mailbox.new
    serve { |ws| ws.onmessage { |text| gate.pop && ws.send(text) } }
    client = connect
    client.text("slow")
    client.ping("quick")

    expect(client.read(:pong)).to eq("quick")
    gate << :go
    expect(client.read_text).to eq("slow")
  end
end
