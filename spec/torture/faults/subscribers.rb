# frozen_string_literal: true

require_relative "../subscribers"

module Torture
  # A channel whose subscribers stall, vanish, leave and come while it is published. Its rule is
  # that only the newest message waits for who is slow.
  class Subscribers < Fault
    fault "subscribers", "1,000 of 10,000 subscribers stall, others vanish, leave and come",
          limit: 300

    CHURNING = 20
    # Delay beyond that without them, beside a tenth: a busy machine's own, in milliseconds. Of a
    # quick run, several faults share the machine, and a hundredth of the messages is one burst.
    SLACK = 100
    QUICK_SLACK = 1000

    def run
      ticker = Ticker.new(scaled(5, 40))
      answers = { go: ->(count) { ticker.go(count) && nil }, last: -> { ticker.last },
                  counts: -> { EM::WebSocket.stats.slice(:subscriptions, :messages_dropped) } }
      @server = serve(answers: answers, before: Ticker.method(:keep)) { |ws| Ticker.accept(ws) }
      @all = scaled(10_000, 400)
      @some = @all / 10
      ServerProcess.load
      EM.epoll
      @audience = Audience.new(@server.port)
      EM.run { @audience.connect(:live, @all - @some) { alone } }
      judge
    end

    private

    # Without anybody who is slow.
    def alone
      publish(50) do
        @before = @audience.p99
        @audience.connect(:stalled, @some) { together }
      end
    end

    def together
      @server.usage.mark
      @audience.stalled.each(&:pause)
      @audience.churn(CHURNING)
      # More than a kernel takes for one that does not read: 500 KiB.
      publish(200) do |last|
        @with = @audience.p99
        @growth = @server.usage.peak_growth / MIB
        @audience.end_churn
        @audience.stalled.each(&:resume)
        wait(last, @audience.stalled) { @audience.finish }
      end
    end

    # Publishes so many, and calls the block with the last number once everybody who reads has it.
    def publish(count, &done)
      @server.ask(:go, count)
      timer = EM.add_periodic_timer(0.2) do
        next unless (last = @server.ask(:last))

        timer.cancel
        wait(last, @audience.live) { done.call(last) }
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
      promise "messages that are broken, twice or out of order", @audience.failures, equals: 0
      promise "messages that those who read have not got", @audience.live.sum(&:skipped), equals: 0
      promise "of the stalled, without the newest afterwards", @stale, equals: 0
      promise "messages dropped for the stalled", counts[:messages_dropped], at_least: @some
      tell "messages received", @audience.live.sum(&:received) + @audience.stalled.sum(&:received)
      tell "that have vanished meanwhile, or left and come", @audience.churned
      promise "memory at the most", @growth, "MiB more", at_most: 32
      promise "the others' last of 100 waits", @with, "ms",
              at_most: (@before * 1.1) + scaled(SLACK, QUICK_SLACK)
      tell "without the stalled", @before, "ms"
      left = settles_at(0) { @server.ask(:counts)[:subscriptions] }
      promise "subscriptions left in the end", left, equals: 0
    end
  end
end
