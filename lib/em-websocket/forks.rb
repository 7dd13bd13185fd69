# frozen_string_literal: true

require_relative "mail"
require_relative "native"
require_relative "presence"
require_relative "pubsub"
require_relative "reactor"
require_relative "rules"
require_relative "servers"
require_relative "transport/slow_subscribers"

module EventMachine
  module WebSocket
    # Notices forks, however they are made: what was there before is the parent's.
    #
    # @api private
    module Forks
      # Forgets, in the child, what is the parent's.
      def self.forked
        Native.forked
        Rules.forked
        Mail.forked
        Gaps.reset
        Presence.reset
        Transport::SlowSubscribers.reset
        Reactor.forked
        Servers.forked
        PubSub.forked
      end

      # Forks. All of Ruby's forks go through this, from Ruby 3.1 on.
      #
      # @return [Integer] 0 in the child
      def _fork
        super.tap { |pid| Forks.forked if pid.zero? }
      end

      # The one that does not.
      #
      # @return [Integer] 0
      def daemon(*)
        super.tap { Forks.forked }
      end
    end

    Process.singleton_class.prepend(Forks)
  end
end
