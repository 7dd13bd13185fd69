# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "and its reactor" do
  abnormal = { code: 1006, was_clean: false }

  # How a reactor may end: each leaves its thread dead or its `join` raising.
  endings = {
    "EM.stop" => -> { EM.next_tick { EM.stop } },
    "EM.stop_event_loop from another thread" => -> { EM.stop },
    "EM::WebSocket.stop" => -> { EM.next_tick { EM::WebSocket.stop } },
    "Thread#kill" => -> { server.thread.kill },
    "an exception in a next_tick" => -> { EM.next_tick { raise ArgumentError, "tick" } },
    "an exception in a timer" => -> { EM.next_tick { EM.add_timer(0) { raise ArgumentError } } }
  }

  def join_quietly
    server.reactor.join
  rescue ArgumentError
    nil
  end

  endings.each do |what, ending|
    it "tells every open connection of #{what} before EM.run returns" do
      allow(EM::WebSocket).to receive(:puts)
      serve
      clients = Array.new(3) { connect.tap { open_connection } }
      instance_exec(&ending)
      join_quietly

      expect(events.drain).to eq(
        [Event.new(name: :close, value: abnormal, state: :closed, thread: server.thread,
                   reactor_running: true)] * 3
      )
      expect(clients).to all(be_eof)
      expect { dial }.to raise_error(Errno::ECONNREFUSED)
      expect(EM).not_to be_reactor_running
    end
  end

  it "says goodbye on EM::WebSocket.stop" do
    serve

    expect { server.call { EM::WebSocket.stop } }
      .to output("Terminating WebSocket Server\n").to_stdout
  end

  it "tells nothing of clients that never finished their handshake" do
    serve
    client = dial
    client.write("GET / HTTP/1.1\r\n")
    server.connection
    server.stop

    expect(client).to be_eof
    expect(events).to be_empty
  end

  it "runs every onclose where one raises, and then raises" do
    serve do |ws|
      ws.onopen { note(:open) }
      ws.onclose { note(:close) && raise(ArgumentError, "closing") }
    end
    2.times { connect && open_connection }

    expect { server.stop }.to raise_error(ArgumentError, "closing")
    expect(event_names).to eq(%i[close close])
  end

  it "runs shutdown hooks of the application" do
    serve
    hooked = events
    server.call { EM.add_shutdown_hook { hooked << :hook } }
    server.stop

    expect(events.drain).to eq([:hook])
  end

  it "starts again on the same port, many times in one process" do
    serve
    port = server.port
    10.times do |round|
      server.stop unless round.zero?
      serve(port: port) unless round.zero?
      client = connect
      client.text("round #{round}")
      expect(client.read_text).to eq("round #{round}")
    end
  end

  it "leaves no descriptor behind" do
    descriptors = lambda do
      GC.start
      Dir.children("/proc/self/fd").size
    end
    round = proc do
      serve
      clients = Array.new(3) { connect }
      server.stop
      clients.each(&:disconnect)
    end
    2.times(&round)
    before = descriptors.call
    5.times(&round)

    expect(descriptors.call).to be <= before
  end

  it "runs several servers in one reactor" do
    serve
    _, port = server.also { |ws| ws.onmessage { |text| ws.send(text.upcase) } }
    first = connect
    second = connect(port: port)
    [first, second].each { |client| client.text("which?") }

    expect([first.read_text, second.read_text]).to eq(%w[which? WHICH?])
  end

  it "shares the reactor with other servers of EventMachine" do
    serve
    plain = Module.new { define_method(:receive_data) { |bytes| send_data(bytes.reverse) } }
    port = server.call { Server.port_of(EM.start_server("127.0.0.1", 0, plain)) }
    client = connect
    client.text("frame")
    socket = dial(port: port)
    socket.write("abc")

    expect([client.read_text, socket.socket.readpartial(3)]).to eq(%w[frame cba])
  end

  it "gives a signature that EM.stop_server and EM.get_sockname take" do
    serve
    client = connect

    expect(server.signature).to be_an(Integer)
    server.call { EM.stop_server(server.signature) }
    expect { Timeout.timeout(5) { loop { dial.disconnect } } }.to raise_error(Errno::ECONNREFUSED)
    client.text("still here")
    expect(client.read_text).to eq("still here")
  end

  it "takes the port as a String" do
    serve(port: "0")

    expect(connect.response[:status]).to include("101")
  end

  it "raises what EventMachine raises for a port in use" do
    serve

    expect { server.call { described_class.run(host: "127.0.0.1", port: server.port) {} } }
      .to raise_error(RuntimeError, "no acceptor (port is in use or requires root privileges)")
    expect(connect.response[:status]).to include("101")
  end

  it "raises the same for a host that is not there" do
    serve

    expect { server.call { described_class.run(host: "host.invalid", port: 0) {} } }
      .to raise_error(RuntimeError, "no acceptor (port is in use or requires root privileges)")
  end

  it "needs a running reactor" do
    expect { described_class.run(host: "127.0.0.1", port: 0) {} }
      .to raise_error(RuntimeError, /\Aeventmachine not initialized/)
  end

  it "frees the port before EM.run returns, for a plain socket too" do
    serve
    server.stop
    listener = TCPServer.new("127.0.0.1", server.port)

    expect(listener.close).to be_nil
  end

  it "leaves no server behind that another thread starts as the reactor stops" do
    left = Array.new(20) do |round|
      port = nil
      starting = nil
      EM.run do
        starting = Thread.new do
          signature = described_class.run(host: "127.0.0.1", port: 0) {}
          port = Socket.unpack_sockaddr_in(EM.get_sockname(signature) || next).first
        rescue RuntimeError
          nil # It came too late.
        end
        EM.next_tick { sleep(round * 0.0002) && EM.stop }
      end
      starting.join
      port
    end

    left.compact.each do |port|
      expect { Socket.tcp("127.0.0.1", port).close }.to raise_error(Errno::ECONNREFUSED)
    end
  end

  it "leaves no server behind that onclose starts as the reactor stops", :fixed do
    port = nil
    serve do |ws|
      ws.onopen { note(:open) }
      ws.onclose do
        port = Server.port_of(described_class.run(host: "127.0.0.1", port: 0) {})
      end
    end
    connect
    open_connection
    server.stop

    expect { Socket.tcp("127.0.0.1", port).close }.to raise_error(Errno::ECONNREFUSED)
  end

  it "counts connections in one thread while another one starts servers" do
    serve
    counting = Thread.new { loop { EM.connection_count } }
    server.call do
      100.times { EM.stop_server(described_class.run(host: "127.0.0.1", port: 0) {}) }
    end

    expect(counting).to be_alive
  ensure
    counting.kill.join
  end

  it "forgets servers that are stopped in the tick of their start" do
    serve
    before = server.call { EM.instance_variable_get(:@conns).size }
    server.call do
      20.times { EM.stop_server(described_class.run(host: "127.0.0.1", port: 0) {}) }
    end
    other = Thread.new do
      20.times { EM.stop_server(described_class.run(host: "127.0.0.1", port: 0) {}) }
    end
    other.join
    # Twice the rounds that it takes.
    4.times { server.call { nil } }

    expect(server.call { EM.instance_variable_get(:@conns).size }).to eq(before)
  end

  it "leaves a reactor without servers alone" do
    fired = events
    run_reactor { EM.add_timer(0.01) { fired << :timer } }

    expect(events.pop).to eq(:timer)
  end
end
