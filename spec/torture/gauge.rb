# frozen_string_literal: true

module Torture
  # The memory that a server says it holds, beside what its process takes: looked at from a thread
  # of that process, for the reactor may be busy.
  class Gauge
    EVERY = 0.05
    COUNTERS = %i[messages_waiting bytes_waiting bytes_outbound].freeze

    # Of buffers that grow by doubling half is room.
    FACTOR = 2

    # Bytes at the most that the process took beyond so many times what was counted.
    attr_reader :beyond

    def initialize
      @usage = Usage.new(Process.pid).hold_open
      @beyond = 0
    end

    def start
      first = @usage.rss
      Thread.new do
        loop do
          look(first)
          sleep EVERY
        end
      end
    end

    def look(first)
      counted = self.class.counters.drop(1).sum
      @beyond = [@beyond, @usage.rss - first - (FACTOR * counted)].max
    end

    # The counters now: nothing, where there is no server any more.
    def self.counters = (EM::WebSocket.stats || {}).values_at(*COUNTERS).map(&:to_i)
  end
end
