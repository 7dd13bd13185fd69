# frozen_string_literal: true

# EventMachine's functions, given a signature that is this library's.
RSpec.describe EventMachine::WebSocket, "and EventMachine's functions that take a signature" do
  # Arguments behind the signature, where there are any.
  arguments = {
    close_connection: [true], send_data: ["abc", 3], get_sock_opt: [1, 2],
    send_datagram: ["x", 1, "127.0.0.1", 1], send_file_data: [__FILE__],
    set_comm_inactivity_timeout: [5.0], set_notify_readable: [true], set_notify_writable: [true],
    set_pending_connect_timeout: [5.0], set_sock_opt: [1, 2, 1], set_tls_parms: [""] * 12,
    start_proxy: [2, 0, 0]
  }
  # Their first argument is none.
  others = %i[
    Callback _open_file_for_writing add_oneshot_timer add_periodic_timer add_shutdown_hook add_timer
    attach attach_fd attach_io attach_sd attach_server bind_connect bind_connect_server connect
    connect_server connect_unix_domain connect_unix_server defer disable_proxy enable_proxy epoll=
    error_handler event_callback heartbeat_interval= invoke_popen klass_from_handler kqueue=
    next_tick open_datagram_socket open_keyboard open_udp_socket popen reconnect run schedule
    set_descriptor_table_size set_effective_user set_heartbeat_interval set_max_timer_count
    set_max_timers set_quantum set_rlimit_nofile set_simultaneous_accept_count set_timer_quantum
    setuid_string start_server start_tcp_server start_unix_domain_server start_unix_server system
    threadpool_size= tick_loop watch watch_file watch_filename watch_pid watch_process
  ]
  functions = EventMachine.singleton_class.instance_methods(false).reject do |name|
    others.include?(name) || EventMachine.method(name).arity.zero?
  end

  # Asks of a connection while it is there, and once it is gone. A signature that reaches
  # EventMachine may end the process: what is said then ends there.
  program = <<~RUBY
    #{Apart::CLIENT}
    $stdout.sync = true
    opened = Queue.new
    closed = Queue.new
    ask = lambda do |name, signature, arguments|
      EM.public_send(name, signature, *arguments).inspect
    rescue EM::WebSocket::WebSocketError => e
      e.message[/\\A\\S+: /]
    rescue Exception => e
      e.inspect
    end
    on_reactor = lambda do |&block|
      done = Queue.new
      EM.next_tick { done << block.call }
      done.pop
    end
    EM.run do
      server = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
        ws.onopen { opened << ws }
        ws.onclose { closed << ws }
      end
      port = Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
      Thread.new do
        FUNCTIONS.each do |name, arguments|
          socket = client(port)
          ws = opened.pop
          print name, ": ", on_reactor.call { ask.call(name, ws.signature, arguments) }
          on_reactor.call { ws.close_connection }
          closed.pop
          puts " / " + on_reactor.call { ask.call(name, ws.signature, arguments) }
          socket.close
        end
        EM.next_tick { EM.stop }
      end
    end
  RUBY

  context "with each of them", :fixed do
    said = nil
    before do
      table = functions.map { |name| [name, arguments.fetch(name, [])] }
      said ||= run_apart(program.sub("FUNCTIONS") { table.inspect }).lines(chomp: true)
    end

    functions.each do |name|
      it "does what it says or raises a WebSocketError by name: #{name}" do
        line = said.find { |one| one.start_with?("#{name}: ") } || said.join("\n")
        expect(line).to match(%r{\A\S+: (?:(?!Error>|Error:).)+ / (?:(?!Error>|Error:).)+\z})
      end
    end
  end

  it "finds EventMachine's functions that take a signature" do
    expect(functions).to include(:send_data, :get_peername, :start_proxy, :stop_server)
  end

  it "ends the connection of close_connection, at once or once everything is written" do
    serve { |ws| ws.onopen { note(:open) } }
    clients = [true, false].map do |after_writing|
      connect.tap do
        ws = open_connection
        server.call { ws.send(+"last") if after_writing }
        server.call { EM.close_connection(ws.signature, after_writing) }
      end
    end

    expect(clients.first.read_text).to eq("last")
    expect(clients).to all(be_eof)
  end

  it "sends by send_data, whatever the connection makes of its own", :fixed do
    serve
    client = connect
    ws = open_connection
    frame = "\x81\x05hello, and no more"
    expect(server.call { EM.send_data(ws.signature, frame, 7) }).to eq(7)

    expect(client.read_text).to eq("hello")
  end

  it "ends a connection without traffic after set_comm_inactivity_timeout" do
    serve
    client = connect
    ws = open_connection
    server.call { EM.set_comm_inactivity_timeout(ws.signature, 0.1) }

    expect(server.call { EM.get_comm_inactivity_timeout(ws.signature) }).to be_within(0.01).of(0.1)
    expect(client).to be_eof
  end

  it "answers both addresses by get_peername and get_sockname" do
    serve
    client = connect
    ws = open_connection
    names = server.call { [EM.get_peername(ws.signature), EM.get_sockname(ws.signature)] }

    expect(names.map { |name| Socket.unpack_sockaddr_in(name).first })
      .to eq([client.socket.local_address.ip_port, server.port])
  end

  it "pauses and resumes by pause_connection and resume_connection" do
    serve
    client = connect
    ws = open_connection
    server.call { EM.pause_connection(ws.signature) }
    client.text("later")
    expect(server.call { EM.connection_paused?(ws.signature) }).to be(true)
    expect(events).to be_empty
    server.call { EM.resume_connection(ws.signature) }

    expect(next_event(:message).value).to eq("later")
  end

  it "gives no signature a second time" do
    serve
    signatures = Array.new(5) do
      client = connect
      open_connection.signature.tap do
        client.disconnect
        next_event(:close)
      end
    end

    expect([*signatures, server.signature].uniq.size).to eq(6)
  end
end
