# frozen_string_literal: true

require "open3"
require "rbconfig"

RSpec.describe EventMachine::WebSocket, ".shutdown and .stats", :extension do
  def shut_down(*timeout)
    done = Mailbox.new
    server.call { described_class.shutdown(*timeout) { done << event_names } }
    done
  end

  it "closes everybody with 1001, and calls back when they are gone" do
    serve
    clients = Array.new(3) { connect }
    3.times { next_event(:open) }
    done = shut_down

    expect(clients.map { |client| client.read(:close) }).to eq([[1001].pack("n")] * 3)
    expect { Socket.tcp("127.0.0.1", server.port) }.to raise_error(Errno::ECONNREFUSED)
    expect(done).to be_empty
    clients.each { |client| client.close(1001) }
    expect(done.pop).to eq(%i[close close close])
    expect(server.call { EM.reactor_running? }).to be(true)
  end

  it "writes what was sent before" do
    serve
    client = connect
    ws = open_connection
    server.call { ws.send("x" * 5_000_000) }
    shut_down

    expect(client.read_text.size).to eq(5_000_000)
    expect(client.read(:close)).to eq([1001].pack("n"))
  end

  it "closes with 1001 a client that is answered and whose onopen has not been called" do
    accepted = Mailbox.new
    serve do |ws|
      echo(ws)
      accepted << ws
    end
    client = dial
    accepted.pop
    done = Mailbox.new
    server.call do
      client.open
      described_class.shutdown { done << event_names }
    end

    expect(client.response[:status]).to include("101")
    expect(client.read(:close)).to eq([1001].pack("n"))
    client.close(1001)
    expect(done.pop).to eq(%i[open close])
  end

  it "aborts clients that do not answer in time, and those not open yet" do
    serve
    connect
    open_connection
    dial.write("GET / HT")
    done = shut_down(0.2)

    expect(done.pop).to eq([:close])
  end

  it "calls back at once where there is nothing to end" do
    run_reactor do
      called = false
      described_class.shutdown { called = true }
      expect(called).to be(true)
    end
  end

  it "calls the blocks of all who ask, once everybody is gone" do
    serve
    client = connect
    open_connection
    blocks = Array.new(2) { shut_down(8) } + Array.new(2) { Thread.new { shut_down(8) }.value }
    expect(client.read(:close)).to eq([1001].pack("n"))
    expect(blocks).to all(be_empty)
    client.close(1001)

    expect(blocks.map(&:pop)).to include([:close])
    expect(server.call { described_class.shutdown { note(:again) } }).to be_nil
    expect(next_event(:again)).to be_truthy
  end

  it "waits no longer than the shortest timeout of several calls" do
    serve
    connect
    open_connection
    patient = shut_down(60)
    impatient = shut_down(0.1)

    expect([patient, impatient].map(&:pop)).to include([:close])
  end

  it "calls a block that comes as the reactor stops" do
    serve
    connect
    open_connection
    called = Mailbox.new
    server.call do
      described_class.shutdown(8) { called << :before }
      EM.stop
      described_class.shutdown(8) { called << :after }
      Thread.new { described_class.shutdown(8) { called << :beside } }.join
    end
    server.reactor.join

    expect(Array.new(3) { called.pop }).to contain_exactly(:before, :after, :beside)
  end

  it "calls a block of another thread's that the reactor has no round for any more" do
    called = Mailbox.new
    reactor = run_reactor do
      EM.add_shutdown_hook { Thread.new { described_class.shutdown { called << :done } }.join }
      EM.stop
    end
    reactor.join

    expect(called.pop).to eq(:done)
  end

  it "calls the other blocks where one raises" do
    serve
    connect
    open_connection
    called = Mailbox.new
    server.call do
      described_class.shutdown(0.1) { raise ArgumentError, "done" }
      described_class.shutdown(0.1) { called << :other }
    end

    expect { server.reactor.join }.to raise_error(ArgumentError, "done")
    expect(called.pop).to eq(:other)
  end

  it "calls back at once where no reactor runs, and leaves the next one's servers alone" do
    called = []
    described_class.shutdown { called << :done }
    expect(called).to eq([:done])
    serve
    connect
    open_connection

    expect(described_class.stats(server.signature)).to include(connections: 1)
  end

  [Float::INFINITY, 1e300, 10**30].each do |timeout|
    it "has no limit with #{timeout.inspect}" do
      serve
      client = connect
      open_connection
      done = shut_down(timeout)
      expect(client.read(:close)).to eq([1001].pack("n"))
      client.close(1001)

      expect(done.pop).to eq([:close])
    end
  end

  [-1, Float::NAN, "10", Complex(1, 1), :soon].each do |timeout|
    it "refuses #{timeout.inspect} for a timeout, and ends nobody" do
      serve
      connect
      ws = open_connection

      expect { described_class.shutdown(timeout) }
        .to raise_error(ArgumentError, "timeout: #{timeout.inspect} is no number of seconds: " \
                                       "give 0 or more, such as 30 or 0.5")
      expect { described_class.start(host: "127.0.0.1", port: 0, graceful: timeout) {} }
        .to raise_error(ArgumentError, /\Agraceful: /)
      expect(server.call { ws.state }).to eq(:connected)
    end
  end

  it "counts connections, messages, bytes and failed handshakes" do
    serve
    client = connect
    client.text("hello")
    client.read_text
    client.binary("\x00\x01")
    client.read(:binary)
    bad = dial
    bad.open(headers: { "Sec-WebSocket-Version" => "99" })

    expect(described_class.stats).to include(
      accepted: 2, turned_away: 0, turned_away_by_ip: 0, turned_away_by_rate: 0,
      messages_received: 2, bytes_received: 7, messages_sent: 2,
      bytes_sent: 7, messages_waiting: 0, bytes_waiting: 0, bytes_outbound: 0,
      handshakes_failed: { version: 1 }, outbound_limits: 0, write_timeouts: 0, ping_timeouts: 0,
      idle_timeouts: 0
    )
    expect(described_class.stats(server.signature)).to include(drains: be_positive)
    expect(described_class.stats(server.signature)[:longest_drain]).to be_between(0, 5)
    expect(described_class.stats(1)).to be_nil
  end

  it "counts the messages and bytes that wait for the application" do
    serve
    client = connect
    open_connection
    waiting = server.call do
      10.times { client.text("x" * 100) }
      deadline = Time.now + 5
      sleep 0.01 until described_class.stats[:messages_waiting] == 10 || Time.now > deadline
      described_class.stats.values_at(:messages_waiting, :bytes_waiting)
    end

    # And what it takes to hold them.
    expect(waiting).to match([10, be_between(1000, 1000 + (10 * 128))])
  end

  it "sums the statistics of all servers" do
    serve
    first = server
    serve
    [first, server].each { |one| connect(port: one.port) }
    2.times { next_event(:open) }

    expect(described_class.stats).to include(connections: 2, accepted: 2)
    expect(described_class.stats(first.signature)).to include(connections: 1)
  end

  describe ":graceful" do
    program = <<~RUBY
      require "em-websocket"
      $stdout.sync = true
      EM.next_tick { EM.next_tick { puts EM::WebSocket.port } }
      EM::WebSocket.singleton_class.prepend(Module.new do
        attr_reader :port
        def run(...)
          super.tap { |signature| @port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first }
        end
      end)
      EM::WebSocket.start(host: "127.0.0.1", port: 0, graceful: GRACEFUL) do |ws|
        ws.onopen { puts "open" }
        ws.onmessage { |text| ws.send(text) }
        ws.onclose { |event| puts event[:code] }
      end
      puts "ended"
    RUBY

    def run_program(program)
      library = File.expand_path("../../lib", __dir__)
      Open3.popen2e(RbConfig.ruby, "-I", library, "-e", program) do |input, output, process|
        input.close
        client = connect(port: Integer(output.gets))
        expect(output.gets).to eq("open\n")
        # Once it has answered, nothing of the line is still being written when the signal comes.
        client.text("there?")
        client.read_text
        yield client, output, process
        expect(process.join(8)).to be_truthy
      ensure
        Process.kill(:KILL, process.pid) if process.alive?
      end
    end

    # Whether the client answers the close, and what is printed then.
    [
      ["lets SIGTERM wait for the clients", "true", :TERM, true],
      ["lets SIGINT wait no longer than it says", "0.2", :INT, false],
      ["lets SIGTERM wait without a limit where it says so", "Float::INFINITY", :TERM, true]
    ].each do |name, graceful, signal, answered|
      it name do
        run_program(program.sub("GRACEFUL", graceful)) do |client, output, process|
          Process.kill(signal, process.pid)
          expect(client.read(:close)).to eq([1001].pack("n"))
          client.close(1001) if answered
          expect(output.read)
            .to eq("#{answered ? 1001 : 1006}\nTerminating WebSocket Server\nended\n")
        end
      end
    end

    it "does not wait at a second signal" do
      run_program(program.sub("GRACEFUL", "60")) do |client, output, process|
        Process.kill(:TERM, process.pid)
        expect(client.read(:close)).to eq([1001].pack("n"))
        Process.kill(:TERM, process.pid)
        expect(output.read).to eq("Terminating WebSocket Server\n1006\nended\n")
      end
    end

    it "is off by default: SIGTERM ends everybody at once" do
      run_program(program.sub("GRACEFUL", "nil")) do |client, output, process|
        Process.kill(:TERM, process.pid)
        expect(client.read_frame).to eq(:eof)
        expect(output.read).to eq("Terminating WebSocket Server\n1006\nended\n")
      end
    end
  end
end
