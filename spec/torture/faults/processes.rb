# frozen_string_literal: true

require_relative "../resident"

module Torture
  # Idle connections of several processes on one port, from several addresses of this machine.
  class Processes < Fault
    fault "processes", "90,000 idle connections of 6 processes on one port", limit: 400,
                                                                             quick: false

    PROCESSES = 6
    EACH = 15_000

    # Descriptors besides connections, and room for a process that is dealt more than others.
    SPARE = 1000

    # Memory that a connection takes at both ends, the system's sockets included, in KiB.
    A_CONNECTION = 24

    def run
      each = [EACH, Process.getrlimit(:NOFILE).first - SPARE, room / PROCESSES].min
      if each < EACH
        leave_out "#{PROCESSES * EACH} connections", "there are descriptors or memory for " \
                                                     "#{each} in a process"
      end
      port = reserved.local_address.ip_port
      here = -> { [EM::WebSocket.stats[:connections]] }
      servers = Array.new(PROCESSES) do
        serve_echo({ port: port, reuse_port: true }, answers: { here: here })
      end
      crowds = Array.new(PROCESSES) do |n|
        child { |line| stay(line, port, each, "127.0.0.#{n + 2}") }
      end
      judge(servers, crowds, each)
    end

    private

    # The port, so that nobody else gets it; it does not listen, and gets no client.
    def reserved
      @reserved ||= Socket.new(:INET, :STREAM).tap do |socket|
        socket.setsockopt(:SOCKET, :REUSEADDR, true)
        socket.setsockopt(:SOCKET, :REUSEPORT, true)
        socket.bind(Addrinfo.tcp("127.0.0.1", 0))
      end
    end

    def room
      File.read("/proc/meminfo")[/MemAvailable:\s+(\d+)/, 1].to_i / 2 / A_CONNECTION
    end

    def judge(servers, crowds, each)
      all = PROCESSES * each
      promise "clients that are let in", crowds.sum { |crowd| crowd.hear(200).first }, equals: all
      counts = servers.map { |server| server.ask(:here).first }
      tell "connections of one process, at least", counts.min
      tell "and at the most", counts.max
      promise "clients that are answered", crowds.sum { |crowd| crowd.ask("ping").first },
              equals: all
    end

    # A process that has clients, and pings by all of them when it is asked.
    def stay(line, port, count, from)
      ServerProcess.load
      EM.epoll
      EM.set_descriptor_table_size(Process.getrlimit(:NOFILE).first)
      EM.run do
        crowd = Resident::Crowd.new(port, count, from)
        crowd.connect { line.puts(JSON.generate([crowd.let_in])) }
        EM.attach(line, Asked, crowd)
      end
    end

    # The line to the parent.
    module Asked
      def initialize(crowd)
        super()
        @crowd = crowd
      end

      def receive_data(_)
        @crowd.ping
        since = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        EM.add_periodic_timer(0.05) do
          late = Process.clock_gettime(Process::CLOCK_MONOTONIC) - since > 50
          next unless @crowd.pongs == @crowd.let_in || late

          send_data("#{JSON.generate([@crowd.pongs])}\n") unless @is_told
          @is_told = true
        end
      end

      def unbind = EM.stop
    end
  end
end
