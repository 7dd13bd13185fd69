# frozen_string_literal: true

require "fcntl"
require "rbconfig"
require "tmpdir"

# `shutdown(within:)`: clients are told one after the other, and nobody new is let in.
RSpec.describe EventMachine::WebSocket, "and a rolling restart", :extension do
  include HttpClient

  restart = [1012].pack("n")

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  def shut_down(timeout = 10, **times)
    done = Mailbox.new
    server.call { described_class.shutdown(timeout, **times) { done << now } }
    done
  end

  # The times at which clients are closed, each of which answers at once.
  def close_times(clients)
    left = clients.to_h { |client| [client.socket, client] }
    times = []
    until left.empty?
      ready, = IO.select(left.keys, nil, nil, 8)
      raise "#{left.size} clients are not told" unless ready

      ready.each do |socket|
        client = left.delete(socket)
        times << now
        expect(client.read(:close)).to eq([1012].pack("n"))
        client.close(1012)
      end
    end
    times
  end

  it "tells the clients one after the other, evenly, that it is a restart" do
    serve
    clients = Array.new(200) { connect }
    200.times { next_event(:open) }
    begun = now
    done = shut_down(within: 1.6)
    times = close_times(clients).map { |time| time - begun }
    ended = done.pop - begun

    # A quarter of the time has a quarter of them; a busy machine may shift some.
    quarters = times.group_by { |time| [(time / 0.4).floor, 3].min }.transform_values(&:size)
    expect(quarters.keys).to contain_exactly(0, 1, 2, 3)
    expect(quarters.values.max).to be < 100
    expect(times.last).to be_between(1.2, 4)
    expect(ended).to be_between(times.last - 0.1, times.last + 2)
  end

  it "answers new clients with 503 meanwhile, and plain HTTP, and serves those who are here" do
    serve(http: { "/health" => :health })
    client = connect
    open_connection
    done = shut_down(within: 30)
    fresh = connect
    expect(fresh.response).to match(
      hash_including(status: "HTTP/1.1 503 Service Unavailable",
                     lines: include("Connection: close"))
    )
    expect(fresh.read_to_end).to eq("The server is being restarted")
    expect(ask("GET", "/health").status).to eq(503)
    client.text("still")
    expect(client.read_text).to eq("still")
    expect(described_class.stats).to include(turned_away: 2, accepted: 1)
    expect(done).to be_empty
    client.close(1000)
    # Nobody is left, so that nobody is waited for.
    expect(done.pop).to be_a(Float)
    expect { Socket.tcp("127.0.0.1", server.port) }.to raise_error(Errno::ECONNREFUSED)
  end

  [{}, { secure: true, tls_options: Certificate.tls_options }].each do |options|
    way = options.empty? ? "plainly" : "by TLS"
    it "answers with 503 who is accepted and has not asked yet, #{way}" do
      serve(options)
      connect(tls: options[:secure])
      open_connection
      early = dial(tls: options[:secure])
      server.connection
      shut_down(within: 30)
      early.open
      expect(early.response).to match(
        hash_including(status: "HTTP/1.1 503 Service Unavailable",
                       lines: include("Connection: close"))
      )
      expect(next_event(:error).value.message).to eq("The server is being restarted")
    end
  end

  it "answers with 503 who is accepted and is not known to the application yet" do
    serve
    connect
    open_connection
    clients = nil
    server.call do
      # It is this thread that would be told of them.
      clients = Array.new(5) { dial.tap { |client| client.write(client.request) } }
      deadline = now + 5
      Thread.pass until described_class.stats[:accepted] == 6 || now > deadline
      described_class.shutdown(5, within: 30)
    end
    expect(clients.map { |client| client.read_response[:status][/\d{3}/] }).to eq(["503"] * 5)
  end

  it "aborts who has said nothing by the end" do
    serve
    silent = dial
    server.connection
    done = shut_down(within: 0.2)
    expect([silent.read_frame, done.pop]).to match([:eof, Float])
  end

  it "ends at once where there are no clients" do
    serve
    begun = now
    expect(shut_down(within: 60).pop - begun).to be < 2
  end

  it "waits at the end for those who are being answered that they are not let in" do
    serve
    client = connect
    open_connection
    done = shut_down(within: 30)
    refused = connect
    client.close(1000)
    next_event(:close)
    2.times { server.call { nil } }
    expect(done).to be_empty
    refused.disconnect
    expect(done.pop).to be_a(Float)
  end

  it "gives the last one its timeout, whichever of the two is longer" do
    serve
    client = connect
    open_connection
    begun = now
    done = shut_down(0.2, within: 0.6)
    expect(client.read(:close)).to eq(restart)
    expect(done.pop - begun).to be_between(0.6, 5)
    expect(next_event(:close).value).to include(code: 1006)
  end

  it "tells everybody at once within 0 s" do
    serve
    clients = Array.new(3) { connect }
    3.times { next_event(:open) }
    shut_down(within: 0)
    expect(clients.map { |client| client.read(:close) }).to eq([restart] * 3)
  end

  it "gives way to a shutdown that does not wait" do
    serve
    clients = Array.new(10) { connect }
    10.times { next_event(:open) }
    patient = shut_down(within: 60)
    hasty = shut_down(10)
    clients.each do |client|
      expect(client.read(:close)).to eq([1001].pack("n")).or eq(restart)
      client.close(1001)
    end
    expect([patient.pop, hasty.pop]).to all(be_a(Float))
  end

  it "goes on before the timeout of another that waits longer" do
    serve
    client = connect
    open_connection
    dones = [shut_down(within: 60), shut_down(within: 0.1)]
    expect(client.read(:close)).to eq(restart)
    client.close(1012)
    expect(dones.map(&:pop)).to all(be_a(Float))
  end

  it "begins after the delay" do
    serve(http: { "/health" => :health })
    client = connect
    open_connection
    shut_down(delay: 0.5, within: 0)
    expect(ask("GET", "/health").body).to eq("Shutting down")
    expect(connect.response[:status]).to include("101")
    expect(client.read(:close)).to eq(restart)
  end

  it "closes several servers' clients in the same time" do
    serve
    first = server
    serve
    clients = [first, server].map { |one| connect(port: one.port) }
    2.times { next_event(:open) }
    done = shut_down(within: 0.3)
    close_times(clients)
    expect(done.pop).to be_a(Float)
  end

  it "leaves clients without codes, and those that leave by themselves, alone" do
    serve
    old = connect(Drafts::ALL.find { |draft| draft.number == 76 })
    gone = connect
    2.times { next_event(:open) }
    done = shut_down(within: 0.3)
    gone.disconnect
    expect(old.read_frame).to eq(:eof)
    expect(done.pop).to be_a(Float)
  end

  [-1, Float::NAN, "10", :soon].each do |time|
    it "refuses #{time.inspect} for the time, and ends nobody" do
      serve
      connect
      ws = open_connection
      expect { described_class.shutdown(10, within: time) }
        .to raise_error(ArgumentError, "within: #{time.inspect} is no number of seconds: " \
                                       "give 0 or more, such as 30 or 0.5")
      expect(server.call { ws.state }).to eq(:connected)
    end
  end

  describe "where another process may have the socket" do
    def listener = @listener ||= TCPServer.new("127.0.0.1", 0)

    after { @listener&.close }

    it "leaves new clients to it, and whoever waits" do
      number = listener.local_address.ip_port
      serve(host: nil, port: nil, socket: listener)
      client = connect(port: number)
      open_connection
      shut_down(within: 30)
      waiting = dial(port: number)
      waiting.write(waiting.request)
      serve(host: nil, port: nil, socket: listener)
      expect(waiting.read_response[:status]).to include("101")
      client.text("still")
      expect(client.read_text).to eq("still")
    end

    it "gives the path of a Unix socket to it" do
      Dir.mktmpdir do |directory|
        path = File.join(directory, "app.sock")
        serve(port: nil, unix: path)
        client = connect(port: 80, path: path)
        open_connection
        shut_down(within: 30)
        serve(port: nil, unix: path)
        expect(connect(port: 80, path: path).response[:status]).to include("101")
        client.text("still")
        expect(client.read_text).to eq("still")
      end
    end

    it "answers with 503 who waits for a Unix server that stops" do
      Dir.mktmpdir do |directory|
        path = File.join(directory, "app.sock")
        serve(port: nil, unix: path, threads: 3)
        clients = nil
        server.call do
          clients = Array.new(20) { dial(port: 80, path: path) }
          clients.each { |client| client.write(client.request) }
          described_class.shutdown(5, within: 1)
        end
        expect(clients.map { |client| client.read_response[:status][/\d{3}/] }).to eq(["503"] * 20)
      end
    end
  end

  # Program that serves a socket which it inherits, as systemd's are, and ends as it is told.
  program = <<~'RUBY'
    EM::WebSocket.singleton_class.prepend(Module.new { def puts(*) = nil })
    EM.next_tick { EM.next_tick { $stdout.syswrite("ready") } }
    EM::WebSocket.start(socket: :systemd, graceful: { timeout: 5, within: 1 }) do |ws|
      ws.onmessage { |text| ws.send(text) }
    end
  RUBY

  it "is not noticed by those who connect all the time to a socket that processes inherit",
     timeout: 40 do
    listener = TCPServer.new("127.0.0.1", 0)
    listener.listen(1024)
    passed = IO.for_fd(listener.fcntl(Fcntl::F_DUPFD, 64), autoclose: false)
    launch = lambda do
      reader, writer = IO.pipe
      code = "ENV['LISTEN_PID'] = Process.pid.to_s\n#{program}"
      pid = spawn({ "LISTEN_FDS" => "1" }, RbConfig.ruby, "-I", Apart::LIBRARY,
                  "-r", "em-websocket", "-e", code,
                  3 => passed, :out => writer)
      writer.close
      (@pids ||= []) << pid
      reader.wait_readable(10) || raise("it is not ready")
      reader.close
      pid
    end
    statuses = Queue.new
    ended = false
    port = listener.local_address.ip_port
    first = launch.call
    streams = Array.new(4) do
      Thread.new do
        until ended
          client = RawClient.new(port)
          client.open
          statuses << (client.response ? client.response[:status][/\d{3}/] : "reset")
          client.disconnect
        end
      rescue SystemCallError => e
        statuses << e.class
      end
    end
    second = launch.call
    Process.kill(:TERM, first)
    Process.wait(first)
    third = launch.call
    Process.kill(:TERM, second)
    Process.wait(second)
    ended = true
    streams.each(&:join)
    counts = Array.new(statuses.size) { statuses.pop }.tally
    expect(counts.keys - %w[101 503]).to be_empty, counts.inspect
    expect(counts["101"]).to be > 50
    expect(counts["503"].to_i).to be < 50
    Process.kill(:TERM, third)
    Process.wait(third)
  ensure
    @pids&.each do |pid|
      Process.kill(:KILL, pid)
      Process.wait(pid)
    rescue SystemCallError
      nil
    end
    [listener, passed].each { |it| it&.close }
  end

  describe "by graceful:" do
    {
      "{ timeout: 3, within: 0.2 }" => [1012, "Terminating WebSocket Server\nended\n"],
      "{ timeout: 3 }" => [1001, "Terminating WebSocket Server\nended\n"],
      "{ within: 0 }" => [1012, "Terminating WebSocket Server\nended\n"],
      "{ delay: 0.2 }" => [1001, "Terminating WebSocket Server\nended\n"]
    }.each do |graceful, (code, said)|
      it "ends as #{graceful} says" do
        text = run_apart(Apart::CLIENT + <<~RUBY)
          $stdout.sync = true
          EM.next_tick do
            EM.next_tick do
              port = Socket.unpack_sockaddr_in(EM.get_sockname(EM::WebSocket.const_get(:Servers).all.first.signature)).first
              Thread.new do
                socket = client(port)
                Process.kill(:TERM, Process.pid)
                puts socket.read(4)[2, 2].unpack1("n")
                socket.write(frame(8, [1000].pack("n")))
              end
            end
          end
          EM::WebSocket.start(host: "127.0.0.1", port: 0, graceful: #{graceful}) { |ws| }
          puts "ended"
        RUBY
        expect(text).to eq("#{code}\n#{said}")
      end
    end

    {
      { timeout: -1 } => /\Agraceful\[:timeout\]: -1 is no number of seconds: give 0 or more/,
      { within: "30" } => /\Agraceful\[:within\]: "30" is no number of seconds: give 0 or more/,
      { widhin: 3 } => "graceful: unknown key :widhin: give some of :timeout, :delay, :within"
    }.each do |graceful, text|
      it "refuses #{graceful}" do
        expect { described_class.start(host: "127.0.0.1", port: 0, graceful: graceful) {} }
          .to raise_error(ArgumentError, text)
      end
    end
  end
end
