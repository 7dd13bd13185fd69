# frozen_string_literal: true

module Torture
  # Many connections that say nothing, and then some that do.
  class Crowd < Fault
    fault "idle", "10,000 idle connections, then 1,000 more that talk", limit: 240

    # A client's socket, and the server's, each in its own process.
    SPARE = 300

    def run
      server = serve_echo
      idle, talking = sizes
      server.usage.mark
      clients = Array.new(idle) { Client.open(server.port) }
      tell "idle connections", clients.size
      promise "memory for an idle connection", server.usage.growth / 1024.0 / idle, "KiB",
              at_most: 16
      talk(server, talking)
      promise "idle connections still open", answered(clients), equals: idle
      clients.each(&:close)
    end

    private

    # As many as there may be descriptors.
    def sizes
      idle, talking = scaled([10_000, 1000], [2000, 500])
      room = Process.getrlimit(:NOFILE).first - SPARE - talking
      [[idle, room].min, talking]
    end

    def talk(server, talking)
      rounds = scaled(20, 10)
      clients = Array.new(talking) { Client.open(server.port) }
      took = timed do
        clients.each do |client|
          rounds.times { |n| client.put(Client::TEXT, n.to_s) }
          client.flush
        end
        Client.pump(clients) { clients.all? { |client| client.inbox.size == rounds } }
      end
      promise "messages of those that talk, echoed", clients.sum { |client| client.inbox.size },
              equals: talking * rounds
      tell "that took", took, "s"
      clients.each(&:close)
    end

    # Number of those that answer a ping.
    def answered(clients)
      clients.each { |client| client.put(Client::PING, "") && client.flush }
      Client.pump(clients) { clients.all? { |client| client.inbox.any? } }
      clients.count { |client| client.inbox == [[Client::PONG, ""]] }
    end
  end
end
