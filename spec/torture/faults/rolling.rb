# frozen_string_literal: true

require_relative "../activated"
require_relative "../resident"

module Torture
  # The process is replaced while clients come, and its clients are closed one after the other.
  class Rolling < Fault
    fault "rolling", "a process is replaced under 1,000 connects/s; 10,000 clients are closed",
          limit: 300

    THREADS = 8

    # Share of the clients that are closed in any second, at the most; they may come back in it.
    SHARE = 0.05

    def run
      stream
      spread
    end

    private

    # Clients come at a rate, while one process after the other is replaced.
    def stream
      rate, seconds = scaled([1000, 10], [300, 2])
      socket = Activated.new(0.5)
      socket.replace
      crowd = child { |line| come(line, socket.port, rate, seconds) }
      ended = scaled([2.0, 3.0], [0.3]).filter_map { |pause| sleep(pause).then { socket.replace } }
      seen = crowd.hear.transform_keys(&:to_s)
      ended.each { |pid| Process.wait(pid) }
      tell_of(seen, rate * seconds)
    ensure
      socket&.close
    end

    def tell_of(seen, count)
      promise "connects that are refused, reset, or without an answer",
              count - seen.values_at("101", "503").sum(&:to_i), equals: 0
      tell "connects", count
      promise "answered with 503 by a process that ends", seen["503"].to_i,
              at_most: [count / 100, 5].max
    end

    def come(line, port, rate, seconds)
      seen = Hash.new(0)
      lock = Mutex.new
      since = now
      each = rate * seconds / THREADS
      Array.new(THREADS) do |thread|
        Thread.new do
          each.times do |number|
            sleep([since + ((number * THREADS) + thread).fdiv(rate) - now, 0].max)
            status = visit(port)
            lock.synchronize { seen[status] += 1 }
          end
        end
      end.each(&:join)
      line.puts(JSON.generate(seen))
    end

    def visit(port)
      Socket.tcp("127.0.0.1", port, connect_timeout: 10) do |socket|
        socket.write(Client.request)
        socket.readpartial(1000)[/\A\S+ (\d+)/, 1]
      end
    rescue SystemCallError, EOFError => e
      e.class.name
    end

    # All clients of one process are closed.
    def spread
      count, within = scaled([10_000, 30], [1000, 3])
      count = [count, Process.getrlimit(:NOFILE).first - 300].min
      server = serve({}, answers: { restart: -> { restart(within) } })
      clients = child { |line| stay(line, server.port, count) }
      promise "clients", clients.hear.first, equals: count
      begun = now
      server.ask(:restart)
      times = clients.hear(within + 60).map { |time| time - begun }
      promise "clients that are closed with 1012", times.size, equals: count
      promise "the last one is closed after", times.max, "s", at_most: within + 2
      judge(times, within)
    end

    def judge(times, within)
      sorted = times.sort
      most = sorted.each_with_index.map do |time, index|
        (sorted.bsearch_index { |other| other > time + 1 } || sorted.size) - index
      end.max
      # In the quick mode a second is a third of the time.
      promise "most of them in any second", most.fdiv(times.size) * 100, "%",
              at_most: SHARE * 100 * 30 / within
    end

    def restart(within)
      EM::WebSocket.shutdown(10, within: within) {}
      true
    end

    def stay(line, port, count)
      ServerProcess.load
      EM.epoll
      EM.run do
        crowd = Resident::Crowd.new(port, count)
        crowd.connect { line.puts(JSON.generate([crowd.let_in])) }
        EM.add_periodic_timer(0.1) { EM.stop if crowd.closes.size == count }
        EM.add_timer(150) { EM.stop }
        EM.add_shutdown_hook { line.puts(JSON.generate(crowd.closes)) }
      end
    end
  end
end
