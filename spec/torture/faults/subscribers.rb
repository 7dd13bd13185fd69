# frozen_string_literal: true

require_relative "../subscribers"

module Torture
  # A channel whose subscribers stall, vanish, leave and come while it is published. Its rule is
  # that only the newest message waits for who is slow.
  class Subscribers < Fault
    fault "subscribers", "1,000 of 10,000 subscribers stall, others vanish, leave and come",
          limit: 300

    CHURNING = 20
    # Delay beyond that without them, beside a tenth: a busy machine's own.
    SLACK = 100

    def run
      ticker = Ticker.new(scaled(5, 40))
      answers = { go: ->(count) { ticker.go(count) && nil }, last: -> { ticker.last },
                  counts: -> { EM::WebSocket.stats.slice(:subscriptions, :messages_dropped) } }
      @server = serve(answers: answers, before: Ticker.method(:keep)) { |ws| Ticker.accept(ws) }
      @all = scaled(10_000, 400)
      @some = @all / 10
      ServerProcess.load
      EM.epoll
      @crowd = Crowd.new(@server.port)
      EM.run { @crowd.connect(:live, @all - @some) { alone } }
      judge
    end

    private

    # Without anybody who is slow.
    def alone
      publish(50) do
        @before = @crowd.p99
        @crowd.connect(:stalled, @some) { together }
      end
    end

    def together
      @server.usage.mark
      @crowd.stalled.each(&:pause)
      @crowd.churn(CHURNING)
      # More than a kernel takes for one that does not read: 500 KiB.
      publish(200) do |last|
        @with = @crowd.p99
        @growth = @server.usage.peak_growth / MIB
        @crowd.end_churn
        @crowd.stalled.each(&:resume)
        wait(last, @crowd.stalled) { @crowd.finish }
      end
    end

    # Publishes so many, and calls the block with the last number once everybody who reads has it.
    def publish(count, &done)
      @server.ask(:go, count)
      timer = EM.add_periodic_timer(0.2) do
        next unless (last = @server.ask(:last))

        timer.cancel
        wait(last, @crowd.live) { done.call(last) }
      end
    end

    # Waits until they have it, or for so long.
    def wait(last, subscribers, &done)
      looks = 0
      timer = EM.add_periodic_timer(0.1) do
        @stale = subscribers.count { |one| one.number < last }
        next unless @stale.zero? || (looks += 1) > 200

        timer.cancel
        done.call
      end
    end

    def judge
      counts = @server.ask(:counts)
      promise "messages that are broken, twice or out of order", @crowd.failures, equals: 0
      promise "messages that those who read have not got", @crowd.live.sum(&:skipped), equals: 0
      promise "of the stalled, without the newest afterwards", @stale, equals: 0
      promise "messages dropped for the stalled", counts[:messages_dropped], at_least: @some
      tell "messages received", @crowd.live.sum(&:received) + @crowd.stalled.sum(&:received)
      tell "that have vanished meanwhile, or left and come", @crowd.churned
      promise "memory at the most", @growth, "MiB more", at_most: 32
      promise "the others' last of 100 waits", @with, "ms", at_most: (@before * 1.1) + SLACK
      tell "without the stalled", @before, "ms"
      left = settles_at(0) { @server.ask(:counts)[:subscriptions] }
      promise "subscriptions left in the end", left, equals: 0
    end
  end
end
