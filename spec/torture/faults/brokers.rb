# frozen_string_literal: true

require_relative "../../pubsub/cluster"
require_relative "../../pubsub/redis"

module Torture
  # Processes that have their channels in common, under load, while their Redis is killed again and
  # again, and comes back.
  class Brokers < Fault
    include Cluster

    fault "brokers", "Redis is killed 20 times under the messages of three processes", limit: 300

    PROCESSES = 3
    CHANNELS = %w[kept:n n].freeze
    # Seconds within which all are connected after Redis is back. Quickly, other faults run beside.
    BACK = 1
    QUICKLY_BACK = 5

    def run
      return leave_out("three processes", "there is no redis-server") unless Redis::PATH

      @count = scaled(170_000, 2_000)
      Redis.run(*Redis::DURABLE) do |redis|
        all = prepare(redis)
        all.each_with_index { |one, who| one.call("count_up #{who}, #{@count}, *#{CHANNELS}") }
        @back = Array.new(scaled(20, 3)) { kill(redis, all) }
        all.each { |one| finish(one) }
        judge(all)
      ensure
        end_members
      end
    end

    private

    def prepare(redis)
      all = connected(redis.url, PROCESSES)
      all.each do |one|
        CHANNELS.each { |channel| one.call("check #{channel.inspect}") }
        one.wait_for("the others") { heard_by?(one, all) }
      end
    end

    # Messages of all processes reach a process, which is subscribed to everything by then.
    def heard_by?(one, all)
      all.each_with_index { |it, who| it.call("EM::WebSocket.publish('all', 'of #{who}')") }
      one.told.uniq.count { |channel, _| channel == "all" } == PROCESSES
    end

    # Seconds until all are connected again.
    def kill(redis, all)
      sleep scaled(3.0, 0.2)
      before = all.map { |one| connections(one) }
      redis.restart
      since = now
      all.zip(before) { |one, count| one.wait_for("its Redis") { connections(one) > count } }
      now - since
    end

    def connections(one) = one.told.count(["connected", nil])

    def finish(one)
      one.wait_for("the last of each", 120) do
        one.call("@checks['kept:n'].last.values") == [@count] * PROCESSES
      end
    end

    def judge(all)
      kept, plain = CHANNELS.map do |channel|
        all.map do |one|
          one.call("@checks['#{channel}'].to_a")
        end
      end
      sums = ->(rows) { rows.transpose.map(&:sum) }
      lost, doubled = sums.call(kept)
      tell "messages that were published", @count * PROCESSES * CHANNELS.size
      promise "of those with history, lost to a live subscriber", lost, equals: 0
      promise "of those with history, twice or out of order", doubled, equals: 0
      promise "of the others, twice or out of order", sums.call(plain).last, equals: 0
      tell "of the others, lost to a live subscriber, in so many gaps", sums.call(plain).first
      promise "processes that lost some and were not told of a gap", untold(all, plain), equals: 0
      promise "from Redis's return to all being connected", @back.max, "s",
              at_most: scaled(BACK, QUICKLY_BACK)
    end

    def untold(all, plain)
      all.zip(plain).count { |one, (lost, _)| lost.positive? && one.call("@gaps").zero? }
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
