# frozen_string_literal: true

require_relative "../errors"
require_relative "../native"

module EventMachine
  module WebSocket
    # The body of an HTTP response whose parts are sent as they are made, on a thread that may wait:
    # what a Rack application's streaming body is given.
    #
    # @api private
    class ResponseStream
      # The client is gone, or takes nothing any more.
      class Gone < IOError; end

      # Bytes that wait for the client before whoever writes does.
      WAITING = 256 * 1024

      # Seconds between looks at whether the client has gone.
      LOOK = 1
      private_constant :WAITING, :LOOK

      # @param native [Native::Connection]
      # @param chunked [Boolean] whether the body ends with a chunk of its own, or the connection
      # @param done [Proc, nil] called once, at the end
      def initialize(native, chunked, done)
        @native = native
        @chunked = chunked
        @done = done
        @mutex = Mutex.new
        @drains = ConditionVariable.new
      end

      # Sends the header.
      #
      # @return [Boolean] false where the client is gone, or its time was up
      def begin(head)
        return finished(false) unless @native.begin_response

        @native.cold_state!.http_stream = self
        @native.high_water = WAITING
        @native.send_data(head)
        true
      end

      # Sends a part. Waits while much waits for the client.
      #
      # @param part [String, #to_s]
      # @return [Integer] its bytes
      # @raise [Gone] if the client is gone
      # @raise [IOError] if the stream is closed
      def write(part)
        part = part.to_s.b
        return 0 if part.empty?
        raise IOError, "closed stream" if @closed

        wait
        raise Gone, "the client is gone" if @native.closed? || @native.ending?

        @native.send_data(@chunked ? "#{part.bytesize.to_s(16)}\r\n".b << part << "\r\n" : part)
        part.bytesize
      end

      # @return [self]
      def <<(part)
        write(part)
        self
      end

      # The request's body is in `rack.input`.
      #
      # @return [nil]
      def read(*)
        nil
      end

      # Nothing is held back.
      #
      # @return [self]
      def flush
        self
      end

      # @return [Boolean]
      def closed?
        @closed || false
      end

      # Ends the body, and the connection once it is written.
      #
      # @return [nil]
      def close
        return if @closed

        @native.send_data("0\r\n\r\n") if @chunked
        @native.close_connection(true)
        finished
      end
      alias close_write close

      # @return [nil]
      def close_read
        nil
      end

      # The body broke off: the client must not take it for whole.
      #
      # @return [nil]
      def abort
        return if @closed

        @native.close_connection(false)
        finished
      end

      # Little waits for the client by now, or it is gone.
      def drained
        @mutex.synchronize { @drains.broadcast }
      end

      private

      def wait
        @mutex.synchronize do
          until @native.outbound_data_size < WAITING || @native.closed? || @native.ending?
            @drains.wait(@mutex, LOOK)
          end
        end
      end

      def finished(result = nil)
        @closed = true
        @native.cold_state&.http_stream = nil
        @done&.call
        result
      end
    end
  end
end
