# frozen_string_literal: true

module EventMachine
  # See em-websocket.rb.
  module WebSocket
    class << self
      # @return [Integer] the longest frame that is accepted, in bytes; 10 MiB by default. Read for
      #   each connection that has none of its own.
      attr_accessor :max_frame_size

      # @return [Integer] the longest message that is accepted, its fragments together, in bytes;
      #   64 MiB by default. Read for each connection that has none of its own.
      attr_accessor :max_message_size

      # @return [Numeric] how long our close may stay without answer, in seconds; 60 by default.
      #   Read for each connection that has none of its own.
      attr_accessor :close_timeout
    end

    self.max_frame_size = 10 * 1024 * 1024
    self.max_message_size = 64 * 1024 * 1024
    self.close_timeout = 60
  end
end
