# frozen_string_literal: true

require_relative "program"

RSpec.describe EventMachine::WebSocket, "in programs that live and die", timeout: 60 do
  connection_class = EM::WebSocket::Connection

  def ask(port, text)
    client = connect(port: port)
    client.text(text)
    client.read_text
  end

  # The process and the port that a program tells of one of its roles.
  def told_by(program, role)
    program.wait_for(/^#{role} (\d+) (\d+)$/).captures.map { |number| Integer(number) }
  end

  describe "after a fork" do
    %w[run fork_reactor].product(%w[inside beside], %w[epoll select]).each do |how, where, poll|
      it "runs in parent and child (EM.#{how}, #{where} the reactor, by #{poll})", :fixed do
        Program.ruby(Program.fixture("fork"), how, where, poll) do |program|
          parent, port = told_by(program, "parent")
          client = connect(port: port)
          client.text("before")
          expect(client.read_text).to eq("parent before")
          Process.kill("USR1", parent)
          child, childs_port = told_by(program, "child")
          client.text("after")

          expect(client.read_text).to eq("parent after")
          expect(ask(port, "new")).to eq("parent new")
          expect(ask(childs_port, "new")).to eq("child new")
          Process.kill("TERM", child)
          program.wait_for(/^a client of the child left in #{child}$/)
          client.text("alone")
          expect(client.read_text).to eq("parent alone")
          expect(program.output).not_to match(/client of the parent left in #{child}/)
        end
      end
    end

    it "goes on in the child when the parent has ended", :fixed do
      Program.ruby(Program.fixture("fork"), "run", "inside", "epoll") do |program|
        parent, port = told_by(program, "parent")
        client = connect(port: port)
        Process.kill("USR1", parent)
        _, childs_port = told_by(program, "child")
        Process.kill("TERM", parent)

        expect(client).to be_eof
        expect(ask(childs_port, "alone")).to eq("child alone")
      end
    end

    it "runs in parent and child where a server has ended before" do
      Program.ruby(Program.fixture("again")) do |program|
        process, port = told_by(program, "first")
        expect(ask(port, "hello")).to eq("first hello")
        Process.kill("USR1", process)
        %w[parent child].each do |role|
          expect(ask(told_by(program, role).last, "hello")).to eq("#{role} hello")
        end
      end
    end

    it "shares one listening socket between two workers" do
      Program.ruby(Program.fixture("prefork")) do |program|
        port = Integer(program.wait_for(/^port (\d+)$/)[1])
        workers = program.wait_for(/^worker (\d+)$.*^worker (\d+)$/m).captures
        workers = workers.map { |worker| Integer(worker) }
        workers.permutation.each do |awake, asleep|
          Process.kill("STOP", asleep)
          client = connect(port: port)
          expect(client.read_text).to eq(awake.to_s)
          client.text("hello")
          expect(client.read_text).to eq("#{awake} hello")
          Process.kill("CONT", asleep)
        end
        workers.each { |worker| Process.kill("TERM", worker) }

        expect(program.join).to be_success
        expect(port).to be_free
      end
    end
  end

  describe "that are told to end" do
    def stop_under_load(how, signal)
      port, = Program.free_ports(1)
      Program.ruby(Program.fixture("echo"), how, port.to_s) do |program|
        flood(port) do
          since = Process.clock_gettime(Process::CLOCK_MONOTONIC)
          yield program.stop(signal), program
          expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - since).to be < 3
        end
        expect(port).to be_free
      end
    end

    %w[INT TERM].each do |signal|
      it "end at SIG#{signal} under load, where EM::WebSocket.start traps it" do
        stop_under_load("start", signal) do |status, program|
          expect(status).to be_success
          expect(program.output).to eq("Terminating WebSocket Server\n")
        end
      end

      it "end at SIG#{signal} under load, where nobody traps it" do
        stop_under_load("run", signal) do |status,|
          expect(status.termsig).to eq(Signal.list.fetch(signal))
        end
      end
    end

    # Clients that say more than is ever read of the answers, while the block runs.
    def flood(port)
      clients = Array.new(4) { dial_patiently(port) }
      threads = clients.map do |client|
        frames = client.encode(:text, "x" * 64) * 1_000
        Thread.new { 100.times { client.write(frames) } }
      end
      clients.each(&:read_text)
      yield
    ensure
      threads&.each { |thread| thread.kill.join }
    end

    # It says nothing, so that only a connection tells that it listens.
    def dial_patiently(port)
      connect(port: port)
    rescue Errno::ECONNREFUSED
      sleep(0.02)
      retry
    end
  end

  describe "that start over and over" do
    starts = {
      "background" => lambda do |port, accept|
        EM::WebSocket.run(host: "127.0.0.1", port: port, &accept)
      end,
      "attached" => lambda do |port, accept|
        EM.start_server("127.0.0.1", port, connection_class, {}, &accept)
      end
    }

    starts.each do |kind, start|
      it "run in fifty reactors, one after the other (#{kind})" do
        50.times do |round|
          reactor = serve_by(start)
          client = connect(port: reactor.value)
          client.text("round #{round}")
          expect(client.read_text).to eq("round #{round}")
          reactor.stop

          expect(events.drain).to eq([[{ code: 1006, was_clean: false }, :closed, true]])
          expect(reactor.value).to be_free
        end
      end

      it "end by nothing but Thread#kill, and start on the same port (#{kind})" do
        port = 0
        10.times do
          reactor = serve_by(start, port)
          port = reactor.value
          clients = Array.new(3) { connect(port: port).tap { |client| client.text("hello") } }
          expect(clients.map(&:read_text)).to all(eq("hello"))
          reactor.thread.kill.join(8)

          expect(events.drain).to eq([[{ code: 1006, was_clean: false }, :closed, true]] * 3)
          expect(clients).to all(be_eof)
          expect(EM).not_to be_reactor_running
        end
      end

      # A reactor with an echo server, whose port is its value.
      def serve_by(start, port = 0)
        accept = lambda do |ws|
          ws.onmessage { |text| ws.send(text) }
          ws.onclose { |event| events << [event, ws.state, EM.reactor_running?] }
        end
        run_reactor { Server.port_of(start.call(port, accept)) }
      end
    end
  end

  it "starts servers from several threads at the same moment" do
    run_reactor {}
    moment = Queue.new
    threads = Array.new(8) do |number|
      Thread.new do
        moment.pop
        described_class.run(host: "127.0.0.1", port: 0) do |ws|
          ws.onmessage { |text| ws.send("#{number} #{text}") }
        end
      end
    end
    threads.size.times { moment << true }
    ports = threads.map { |thread| Server.port_of(thread.value) }

    expect(ports.map { |port| ask(port, "hello") }).to eq(Array.new(8) { |n| "#{n} hello" })
  end
end
