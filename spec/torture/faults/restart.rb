# frozen_string_literal: true

module Torture
  # The reactor started and stopped, again and again, in one process.
  class Restart < Fault
    fault "restart", "1,000 starts and stops of the reactor in one process", limit: 300

    # A client within the reactor, which ends it.
    module OneEcho
      def post_init = send_data(Client.request + Client.frame(Client::TEXT, "hello"))

      def receive_data(data)
        @seen = (@seen || "".b) << data
        EM.stop if @seen.end_with?("\x81\x05hello".b)
      end
    end

    def run
      warm, count = scaled([200, 1000], [40, 100])
      process = child { |line| cycle(line) }
      before, after = [warm, count].map { |cycles| took(process, cycles) }
      tell "cycles, after #{warm} to warm up", count
      promise "echoes", after[:echoes], equals: warm + count
      promise "onclose", after[:closed], equals: warm + count
      promise "descriptors left", after[:fds] - before[:fds], equals: 0
      promise "threads left", after[:threads] - before[:threads], equals: 0
      promise "memory for a cycle", (after[:rss] - before[:rss]) / 1024.0 / count, "KiB more",
              at_most: scaled(2, 16)
    end

    private

    def took(process, cycles)
      process.ask(cycles).merge(
        fds: process.usage.fds, threads: process.usage.threads, rss: process.usage.rss
      )
    end

    def cycle(line)
      ServerProcess.load
      done = { echoes: 0, closed: 0 }
      while (cycles = line.gets)
        JSON.parse(cycles).first.times { start_and_stop(done) }
        GC.start
        line.puts(JSON.generate(done))
      end
    end

    def start_and_stop(done)
      EM.run do
        signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
          ws.onmessage do |text|
            done[:echoes] += 1
            ws.send(text)
          end
          ws.onclose { done[:closed] += 1 }
        end
        port, host = Socket.unpack_sockaddr_in(EM.get_sockname(signature))
        EM.connect(host, port, OneEcho)
      end
    end
  end
end
