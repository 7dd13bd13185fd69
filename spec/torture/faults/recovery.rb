# frozen_string_literal: true

require_relative "../returning"

module Torture
  # Subscribers lose their connections all at once, as when a network fails, and come back, each
  # with the position that it has come to, while messages go on.
  class Recovery < Fault
    fault "recovery", "10,000 subscribers lose their connections, and come back", limit: 300

    RATE = 100
    GONE = 2

    def run
      @server = serve_news
      count = scaled(10_000, 500)
      @jitter = scaled(20, 1)
      @fleet = Fleet.new(@server.port, count)
      ServerProcess.load
      EM.epoll
      EM.run { @fleet.connect { publish_until_all_are_back } }
      judge(count)
    end

    private

    def serve_news
      news = News.new(RATE)
      answers = { go: -> { news.go }, stop: -> { news.stop } }
      serve(answers: answers, before: News.method(:keep)) do |ws|
        ws.onopen { |handshake| News.welcome(ws, handshake.query) }
      end
    end

    def publish_until_all_are_back
      @server.usage.mark
      @server.ask(:go)
      EM.add_timer(1) do
        @fleet.drop
        EM.add_timer(GONE) do
          @fleet.come_back(@jitter) { EM.add_timer(1) { finish_at(@server.ask(:stop)) } }
        end
      end
    end

    def finish_at(last)
      @fleet.wait_for(last) do
        @fleet.drop
        EM.stop
      end
    end

    def judge(count)
      promise "subscribers that have all they missed", @fleet.recovered, equals: count
      promise "subscribers with a message lost, twice or out of order", @fleet.broken, equals: 0
      tell "messages received, each once", @fleet.received
      tell "messages that each has missed (median)", Fleet.median(@fleet.missed)
      promise "from the handshake's answer to caught up (median)",
              Fleet.median(@fleet.took_since_answered) * 1000, "ms", at_most: 100
      tell "from connecting to caught up (median)", Fleet.median(@fleet.took) * 1000, "ms"
      memory(@server, at_most: 96)
    end
  end
end
