# frozen_string_literal: true

module Torture
  # A process that may open no more files.
  class Descriptors < Fault
    fault "emfile", "the process has no descriptor left"

    FILES = 100
    WAITING = 60
    WATCHED = 2.0

    def run
      server = serve_echo(files: FILES)
      served, waiting = fill(server)
      tell "connections served before the limit (#{FILES} descriptors)", served.size
      promise "connections that wait", waiting.size, at_least: WAITING
      promise "processor while they wait", busy(server) * 100, "%", at_most: 20.0
      promise "messages of the others answered", answered(served), equals: served.size
      resume(served, waiting)
    end

    private

    # Those that are served, and those that wait: nobody has been served for a second.
    def fill(server)
      waiting = Array.new(FILES + WAITING) do
        Client.new(server.port).tap { |client| client.queue(Client.request).flush }
      end
      served = []
      loop do
        more, waiting = waiting.partition { |client| client.read_head(0.001) }
        return [served, waiting] if more.empty? && served.any? && !readable?(waiting, 1)

        served.concat(more)
      end
    end

    def readable?(clients, seconds) = IO.select(clients.map(&:socket), nil, nil, seconds)

    def busy(server)
      before = server.usage.cpu
      took = timed { sleep(WATCHED) }
      (server.usage.cpu - before) / took
    end

    def answered(clients)
      clients.each { |client| client.text("hello") }
      Client.pump(clients) { clients.all? { |client| client.inbox.any? } }
      clients.count { |client| client.inbox.pop == [Client::TEXT, "hello"] }
    end

    def resume(served, waiting)
      served.shift(served.size - 1).each(&:close)
      room = waiting.take(30)
      rest = waiting.drop(30)
      took = timed { room.select! { |client| client.read_head(20) } }
      promise "accepted once there is room, of 30", room.size, equals: 30
      tell "that took", took, "s"
      promise "messages of all answered", answered(served + room), equals: room.size + 1
      (served + room).each(&:close)
      promise "the rest accepted, after that", rest.count { |client| client.read_head(20) },
              equals: rest.size
    end
  end
end
