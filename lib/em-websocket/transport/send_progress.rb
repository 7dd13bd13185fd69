# frozen_string_literal: true

require "socket"
require_relative "../native"

module EventMachine
  module WebSocket
    # The progress of what was sent, on a socket of EventMachine's: what EventMachine has not
    # written yet, and what the client's system has not acknowledged, where ours tells that (Linux).
    #
    # @api private
    class SendProgress
      # The number of bytes on their way from which they are a message, and no ping.
      MESSAGE = 1024
      private_constant :MESSAGE

      # @param connection [Connection]
      def initialize(connection)
        @connection = connection
      end

      # A message was sent.
      def sent
        @travels = true
      end

      # Tells if time counts in which an answer to what was sent last has not come: once it has
      # left, and where the client takes nothing of what is before it.
      #
      # @param step [Float] the seconds since it was asked last
      # @return [Boolean]
      def late?(step)
        return true if @left

        waiting, acked, unacked, since = look
        if waiting.zero? && unacked.zero?
          @left = true
          since >= step
        elsif @position && acked && acked >= @position
          @left = true
          false
        else
          # A little more, for what TLS adds to it.
          @position ||= acked && (acked + unacked + waiting + (waiting / 64))
          !@taken
        end
      end

      # @return [Boolean] whether a message is on its way to a client that takes it, or was when it
      #   was asked last
      def travels?
        return false unless @travels

        waiting, _, unacked, = look
        @travels = waiting + unacked > MESSAGE && @taken
        @taken
      end

      private

      # Notes whether something was taken since the last look.
      #
      # @return [Array] the bytes that EventMachine has not written; those that the client's system
      #   has acknowledged (nil where that is not known), and those that it has not; the seconds
      #   since it acknowledged any
      def look
        waiting = @connection.get_outbound_data_size
        acked, unacked, since = Native.transmission(*ends) if ends
        @taken = @waiting.nil? || (acked ? acked > @acked : waiting < @waiting)
        @acked = acked || 0
        @waiting = waiting
        [waiting, acked, unacked || 0, since || Float::INFINITY]
      end

      # @return [Array, nil] both ends' addresses and ports; nil on a Unix socket, and once it is
      #   gone
      def ends
        @ends ||= [@connection.get_sockname, @connection.get_peername].flat_map do |name|
          Socket.unpack_sockaddr_in(name).reverse
        end
      rescue ArgumentError, TypeError
        nil
      end
    end
  end
end
