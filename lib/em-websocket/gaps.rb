# frozen_string_literal: true

require_relative "native"
require_relative "transport"

module EventMachine
  module WebSocket
    # Connections that want to know of messages that their channels have missed
    # ({Subscriptions#ongap}, `:gap`).
    #
    # @api private
    module Gaps
      # The close code for those who are to come back (1012, "service restart").
      CODE = 1012

      # The reason that is said with it.
      REASON = "messages of a channel are missing"

      class << self
        # @param connection [Connection] may be forgotten when it is gone
        def add(connection)
          @connections[connection] = true
        end

        # Lists a connection that has subscribed, if it has said what is to be done.
        def watch(connection)
          add(connection) if Transport.of(connection).closes_at_gap?(connection)
        end

        # Tells connections, on the reactor's thread.
        #
        # @param names [Array<String>] of channels, each once
        # @return [Array<Proc>] one for each connection and channel
        def calls(names)
          return [] if names.empty?

          names = names.to_h { |name| [name, true] }
          @connections.keys.flat_map do |connection|
            channels = Subscriptions.of(connection).subscriptions.select { |name| names.key?(name) }
            channels.map { |channel| -> { tell(connection, channel) } }
          end
        end

        # In a forked child: connections are the parent's.
        def reset
          @connections = ObjectSpace::WeakMap.new
        end

        private

        def tell(connection, channel)
          transport = Transport.of(connection)
          transport.cold_state&.ongap&.call(channel)
          return unless transport.closes_at_gap?(connection)

          Transport.get(connection, :@handler)&.close_unasked(CODE, REASON)
        rescue StandardError => e
          Transport.application_error(connection, e)
        end
      end

      reset
    end
  end
end
