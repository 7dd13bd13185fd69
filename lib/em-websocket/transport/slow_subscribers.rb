# frozen_string_literal: true

require "eventmachine"
require_relative "../reactor"

module EventMachine
  module WebSocket
    module Transport
      # The subscribers for which messages are held back, because what they were sent before waits
      # in EventMachine, which does not tell when it is written: one timer looks after all of them.
      #
      # @api private
      module SlowSubscribers
        # The bytes that may wait in EventMachine for a subscriber that is not slow.
        WAITING = 64 * 1024

        # The seconds from one look to the next.
        INTERVAL = 0.05
        private_constant :INTERVAL

        class << self
          # Has a subscriber's `catch_up` called until that answers true. May be called from any
          # thread.
          #
          # @param subscriber [AttachedSubscriber]
          def add(subscriber)
            return if @subscribers.key?(subscriber)

            @subscribers[subscriber] = true
            Reactor.schedule { watch }
          end

          # In a forked child: connections are the parent's.
          def reset
            @subscribers = {}.compare_by_identity
            @reactor = nil
          end

          private

          def watch
            reactor = Reactor.current
            return if @reactor.equal?(reactor) || !EventMachine.reactor_running?

            @reactor = reactor
            EventMachine.add_timer(INTERVAL) do
              @reactor = nil
              look
            ensure
              watch unless @subscribers.empty?
            end
          end

          # One round. Each is taken out before it is looked after: one that another thread adds
          # meanwhile stays.
          def look
            @subscribers.keys.each do |subscriber| # rubocop:disable Style/HashEachMethods
              @subscribers.delete(subscriber)
              is_done = false
              is_done = subscriber.catch_up
            ensure
              @subscribers[subscriber] = true unless is_done
            end
          end
        end

        reset
      end
    end
  end
end
