# frozen_string_literal: true

require_relative "checks"

module EventMachine
  # See em-websocket.rb.
  module WebSocket
    class << self
      # @return [Numeric] the longest frame that is accepted, in bytes; 10 MiB by default. Read for
      #   each connection that has none of its own.
      attr_reader :max_frame_size

      # @return [Numeric] the longest message that is accepted, its fragments together, in bytes;
      #   64 MiB by default. Read for each connection that has none of its own.
      attr_reader :max_message_size

      # @return [Numeric] how long our close may stay without answer, in seconds; 60 by default.
      #   Read for each connection that has none of its own.
      attr_reader :close_timeout

      # @param bytes [Numeric, nil] Float::INFINITY: no limit; nil: the default
      # @raise [ArgumentError] if it is no number
      def max_frame_size=(bytes)
        @max_frame_size = Checks.limit(:max_frame_size, bytes) || (10 * 1024 * 1024)
      end

      # @param bytes [Numeric, nil] Float::INFINITY: no limit; nil: the default
      # @raise [ArgumentError] if it is no number
      def max_message_size=(bytes)
        @max_message_size = Checks.limit(:max_message_size, bytes) || (64 * 1024 * 1024)
      end

      # @param seconds [Numeric, String, nil] Float::INFINITY: no limit; nil: the default
      # @raise [ArgumentError] if it is no number of seconds, or a negative one
      def close_timeout=(seconds)
        @close_timeout = seconds.nil? ? 60 : Checks.digits(:close_timeout, seconds)
      end
    end

    self.max_frame_size = nil
    self.max_message_size = nil
    self.close_timeout = nil
  end
end
