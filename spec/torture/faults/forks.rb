# frozen_string_literal: true

require "rbconfig"

module Torture
  # Processes that fork, in all the ways there are.
  class Forks < Fault
    fault "fork", "fork before, during and after; EM.fork_reactor, exec", limit: 180

    CLIENTS = 20
    # The sockets that a program has which was executed.
    SOCKETS = <<~RUBY
      puts(Dir.children("/proc/self/fd").count do |fd|
        File.readlink("/proc/self/fd/\#{fd}").start_with?("socket:")
      rescue Errno::ENOENT
        false
      end)
    RUBY

    def run
      before
      during("Process.fork", :fork)
      during("EM.fork_reactor", :fork_reactor)
      executed
      after
    end

    private

    # The library is loaded, nothing has begun, and both processes serve.
    def before
      process = child do |line|
        ServerProcess.load
        reader, writer = IO.pipe
        fork { serve_and_say(writer) }
        line.puts(reader.gets)
        serve_and_say(line)
      end
      came = Array.new(2) { echoes(process.hear) }.sum
      promise "before: echoes, child and parent", came, equals: 2
      process.kill
    end

    # The reactor runs, with connections.
    def during(name, how)
      server, closed = serve_and_fork(how)
      clients = Array.new(CLIENTS) { Client.open(server.port) }
      port, pid = server.ask(:fork)
      promise "#{name}: the child echoes", echoes(port), equals: 1
      promise "#{name}: the parent's connections, too", talk(clients), equals: CLIENTS
      Process.kill(:KILL, pid)
      promise "#{name}: and once the child is gone", talk(clients), equals: CLIENTS
      promise "#{name}: new ones", echoes(server.port), equals: 1
      clients.each(&:close)
      left = settles_at(CLIENTS + 1, &closed)
      promise "#{name}: onclose in the parent", left, equals: CLIENTS + 1
    end

    def serve_and_fork(how)
      closed = 0
      answers = {
        closed: -> { closed },
        fork: lambda {
          reader, writer = IO.pipe
          pid = Forks.public_send(how) { serve_and_say(writer, run: how == :fork) }
          Process.detach(pid)
          [Integer(reader.gets), pid]
        }
      }
      server = serve({}, answers: answers) do |ws|
        ws.onmessage { |text| ws.send(text) }
        ws.onclose { closed += 1 }
      end
      [server, -> { server.ask(:closed) }]
    end

    # The reactor runs, and the child becomes another program.
    def executed
      sockets = lambda do
        IO.popen([RbConfig.ruby, "-e", SOCKETS], close_others: false, &:read).to_i
      end
      server = serve_echo(answers: { sockets: sockets })
      clients = Array.new(CLIENTS) { Client.open(server.port) }
      promise "exec: sockets that the program inherits", server.ask(:sockets), equals: 0
      promise "exec: the parent's connections", talk(clients), equals: CLIENTS
    end

    # The reactor has run, with a server, and has ended.
    def after
      process = child do |line|
        ServerProcess.load
        EM.run do
          EM::WebSocket.run(host: "127.0.0.1", port: 0) {}
          EM.next_tick { EM.stop }
        end
        fork { serve_and_say(line) }
        sleep
      end
      promise "after: the child echoes", echoes(process.hear), equals: 1
      process.kill
    end

    def serve_and_say(line, run: true)
      return EM.run { serve_and_say(line, run: false) } if run

      server = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
        ws.onmessage { |text| ws.send(text) }
      end
      line.puts(Socket.unpack_sockaddr_in(EM.get_sockname(server)).first)
      line.flush
    end

    def echoes(port) = Client.open(port).then { |client| talk([client]).tap { client.close } }

    # Number of those that have a message echoed.
    def talk(clients)
      clients.each { |client| client.text("hello") }
      Client.pump(clients, 20) { clients.all? { |client| client.inbox.any? } }
      clients.count { |client| client.inbox.pop == [Client::TEXT, "hello"] }
    end

    class << self
      def fork(&block) = Process.fork(&block)
      def fork_reactor(&block) = EM.fork_reactor(&block)
    end
  end

  # Use from elsewhere of what has but one reactor.
  class Ractors < Fault
    fault "ractor", "the library used from a Ractor that is not the main one"

    USES = {
      "start" => "EM::WebSocket.start(host: '127.0.0.1', port: 0) {}",
      "run" => "EM::WebSocket.run(host: '127.0.0.1', port: 0) {}",
      "broadcast" => "EM::WebSocket.broadcast([], 'hello')"
    }.freeze

    def run
      server = serve_echo(answers: { try: method(:try) })
      client = Client.open(server.port)
      errors = USES.map { |name, code| [name, server.ask(:try, code)] }
      tell "what is raised", errors.map { |name, error| "#{name}: #{error}" }.join(", ")
      raised = errors.count { |_, error| error.start_with?("Ractor") }
      promise "uses that raise an error of Ractor's", raised, equals: USES.size
      client.text("hello")
      promise "the connections go on", client.next_frame&.last, equals: "hello"
    end

    private

    # The class of the error, in the reactor's process.
    def try(code)
      verbose = $VERBOSE
      $VERBOSE = nil
      Warning[:experimental] = false
      Ractor.new(code) do |text|
        eval(text) # rubocop:disable Security/Eval -- a Ractor's block sees nothing else
        "nothing"
      rescue Exception => e # rubocop:disable Lint/RescueException -- it is what is asked for
        e.class.name
      end.take
    ensure
      $VERBOSE = verbose
    end
  end
end
