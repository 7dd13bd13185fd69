# frozen_string_literal: true

require "open3"
require "rbconfig"

RSpec.describe EventMachine::WebSocket, ".start" do
  # A server in a process of its own, which prints its port first.
  def spawn_server(code)
    arguments = UPSTREAM ? [] : ["-I", File.expand_path("../../lib", __dir__)]
    whole = <<~RUBY
      $stdout.sync = true
      require "em-websocket"
      #{code}
    RUBY
    input, output, waiter = Open3.popen2e(RbConfig.ruby, *arguments, "-e", whole)
    input.close
    yield output, waiter
  ensure
    Process.kill(:KILL, waiter.pid) if waiter&.alive?
    output&.close
  end

  program = <<~RUBY
    EM.next_tick do
      puts Socket.unpack_sockaddr_in(EM.get_sockname($signature)).first
    end
    EM::WebSocket.singleton_class.prepend(Module.new { def run(*) = $signature = super })
    EM::WebSocket.start(host: "127.0.0.1", port: 0) do |ws|
      ws.onmessage { |text| ws.send(text) }
      ws.onclose { |event| puts "closed \#{event[:code]} \#{ws.state} \#{EM.reactor_running?}" }
    end
    puts "after"
  RUBY

  %w[TERM INT].each do |signal|
    it "runs a reactor until SIG#{signal}" do
      spawn_server(program) do |output, waiter|
        client = connect(port: Integer(output.gets))
        client.text("hello")
        expect(client.read_text).to eq("hello")
        Process.kill(signal, waiter.pid)

        expect(output.read).to eq(
          "Terminating WebSocket Server\nclosed 1006 closed true\nafter\n"
        )
        expect(waiter.value).to be_success
        expect(client).to be_eof
      end
    end
  end

  it "traps through the singleton's own method" do
    trapped = Hash.new { |hash, signal| hash[signal] = [] }
    allow(described_class).to receive(:trap) { |signal, &block| trapped[signal] << block }
    allow(described_class).to receive(:puts)
    started = Mailbox.new
    thread = Thread.new do
      EM.next_tick { started << true }
      described_class.start(host: "127.0.0.1", port: 0) {}
      :returned
    end
    started.pop
    EM.next_tick { trapped["TERM"].first.call }

    expect(thread.value).to eq(:returned)
    expect(trapped.keys).to contain_exactly("TERM", "INT")
  end

  it "returns at once within a running reactor" do
    allow(described_class).to receive(:trap)
    serve
    returned = server.call do
      described_class.start(host: "127.0.0.1", port: 0) {}
      :returned
    end

    expect(returned).to eq(:returned)
  end

  it "may be called twice, from another thread than the reactor's" do
    allow(described_class).to receive(:trap)
    signatures = Mailbox.new
    allow(described_class).to receive(:run).and_wrap_original do |original, *arguments, &block|
      original.call(*arguments, &block).tap { |signature| signatures << signature }
    end
    run_reactor {}
    threads = Array.new(2) do |number|
      Thread.new do
        described_class.start(host: "127.0.0.1", port: 0) do |ws|
          ws.onopen { ws.send("server #{number}") }
        end
      end
    end
    threads.each(&:join)
    ports = Array.new(2) { Server.port_of(signatures.pop) }

    expect(ports.map { |port| connect(port: port).read_text })
      .to contain_exactly("server 0", "server 1")
  end

  describe ":graceful", :extension do
    it "is read as every other option is, whatever the Hash" do
      graceful = program.sub('host: "127.0.0.1", port: 0', <<~RUBY.chomp)
        Hash.new { |_, key| { host: "127.0.0.1", port: 0, graceful: 5 }[key] }
      RUBY
      spawn_server(graceful) do |output, waiter|
        client = connect(port: Integer(output.gets))
        client.text("opened")
        client.read_text
        Process.kill("TERM", waiter.pid)

        expect(client.read(:close)[0, 2]).to eq([1001].pack("n"))
        client.close(1001)
        expect(waiter.value).to be_success
      end
    end

    wrong = OddValues::OTHERS - [nil, false, true] + [-1, -1.5, -(2**64), Float::NAN]
    wrong.each do |value|
      it "refuses #{value.inspect} before the reactor runs" do
        expect { described_class.start(host: "127.0.0.1", port: 0, graceful: value) {} }
          .to raise_error(ArgumentError, /\Agraceful: /)
      end
    end
  end
end
