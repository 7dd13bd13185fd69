# frozen_string_literal: true

require_relative "../errors"
require_relative "../native"
require_relative "response_stream"

module EventMachine
  module WebSocket
    # The response to a plain HTTP request: what the block of {Connection#onhttp} is given. It
    # leaves when the block returns, or, after {#defer}, with {#finish}; then the connection is
    # closed.
    #
    # @example
    #   ws.onhttp do |request, response|
    #     response.status = 404 unless request.path == "/hello"
    #     response.body = "hello" if response.status == 200
    #   end
    class HttpResponse
      # Statuses whose responses have no body (RFC 9110 section 6.4.1).
      BODYLESS = [204, 205, 304].freeze
      private_constant :BODYLESS

      # @return [Integer] 200 unless set, of 200 to 599
      attr_accessor :status

      # `Connection`, `Content-Length` and `Transfer-Encoding` are this library's; `Content-Type` is
      # `text/plain; charset=utf-8` unless it is among them.
      #
      # @return [Hash{String => String, Array<String>}] an Array makes one field of each value
      attr_reader :headers

      # @return [String] `""` unless set
      attr_accessor :body

      # @api private
      # @param request [HttpRequest]
      # @param native [Native::Connection]
      # @yield the connection is done with
      def initialize(request, native, &done)
        @request = request
        @native = native
        @done = done
        @status = 200
        @headers = {}
        @body = ""
        # The right to answer, for whoever takes it first.
        @turn = Thread::Queue.new << true
      end

      # Leaves the response to a later {#finish}, which may come from any thread, within the
      # `:handshake_timeout`: after that the client gets 503.
      #
      # @example
      #   ws.onhttp do |request, response|
      #     response.defer
      #     EM.defer do
      #       response.body = expensive(request.body)
      #       response.finish
      #     end
      #   end
      # @return [nil]
      def defer
        @deferred = true
        nil
      end

      # Sends the response, and ends the connection once it is written. May be called from any
      # thread.
      #
      # @return [Boolean] false where the client is gone, or its time was up
      # @raise [WebSocketError] if it is answered already, the status is none, or a header is none
      #   that can be set
      # @raise [TypeError] if the body is no String
      def finish
        take_turn do
          whole = if @request.head?
                    Native.http_head(@status, @headers, @body.bytesize, false)
                  else
                    Native.refusal(@status, @headers, @body)
                  end
          leave { @native.refuse(whole) }
        end
      end

      # Sends the header now, and returns what the body is written to.
      #
      # @api private
      # @return [ResponseStream, nil] nil where the client is gone, or its time was up
      # @raise (see #finish)
      def stream
        take_turn do
          chunked = @request.http_version == "HTTP/1.1" && !bodyless?
          stream = ResponseStream.new(@native, chunked, @done)
          stream if stream.begin(Native.http_head(@status, @headers, nil, chunked))
        end
      end

      # @api private
      # @return [Boolean] whether it ends with its header, whatever that says
      def bodyless?
        @request.head? || BODYLESS.include?(@status)
      end

      # Something went wrong: whatever was said, it is 500, unless it is answered already.
      #
      # @api private
      def fail
        take_turn do
          leave { @native.refuse(Native.refusal(500, {}, "Internal Server Error")) }
        end
      rescue WebSocketError
        nil
      end

      # @api private
      # @return [Boolean]
      def deferred?
        @deferred || false
      end

      # @api private
      # @return [Boolean] whether somebody has answered
      def answered?
        @turn.empty?
      end

      private

      # The first answer is the only one; one that cannot be sent is none.
      def take_turn
        begin
          @turn.pop(true)
        rescue ThreadError
          raise WebSocketError, "The HTTP request is answered already"
        end
        begin
          result = yield
          sent = true
          result
        ensure
          @turn << true unless sent
        end
      end

      def leave
        yield
      ensure
        @done&.call
      end
    end
  end
end
