# frozen_string_literal: true

require_relative "errors"
require_relative "native"

module EventMachine
  module WebSocket
    # The answer to an opening handshake before it is sent: what the block of {Connection#onrequest}
    # is given. Without a word of the block's, the WebSocket is opened.
    class Response
      # Header fields to add to the response that opens the WebSocket.
      #
      # @return [Hash{String => String, Array<String>}] an Array makes one field of each value
      attr_reader :headers

      # The whole answer that refuses, once there is one.
      #
      # @api private
      # @return [String, nil]
      attr_reader :refusal

      # @api private
      # @param native [Native::Response]
      # @param offered [Array<String>] the subprotocols that may be selected
      # @yield once it is decided, on the thread that has decided
      def initialize(native, offered, &on_decided)
        @native = native
        @offered = offered
        @on_decided = on_decided
        @headers = {}
        # The right to decide, for whoever takes it first. A Queue can be taken from in a signal
        # handler, too.
        @turn = Thread::Queue.new << true
      end

      # @return [String, nil] the subprotocol that is selected
      def protocol
        @native.protocol
      end

      # Selects a subprotocol (RFC 6455 section 4.2.2).
      #
      # @param name [String, nil] one of {Handshake#protocols}; nil: none
      # @raise [WebSocketError] if the client has not offered it, for it would have to end the
      #   connection
      def protocol=(name)
        unless name.nil? || @offered.include?(name)
          raise WebSocketError, "The client has not offered the subprotocol #{name.inspect}"
        end

        @native.protocol = name
      end

      # Answers with another status than 101: there will be no WebSocket, no `onopen` and no
      # `onclose`.
      #
      # @example
      #   response.refuse(302, "", "Location" => "https://example.com/")
      # @param status [Integer] 200 to 599
      # @param body [String]
      # @param headers [Hash{String => String, Array<String>}] `"Content-Type"` is `text/plain`
      #   unless it is among them
      # @return [nil]
      # @raise [WebSocketError] if it is answered already, the status is none to refuse with, or a
      #   header is none that can be set
      def refuse(status, body = "", headers = {})
        decide { @refusal = Native.refusal(status, headers, body) }
      end

      # Leaves the decision to a later {#accept} or {#refuse}, which may come from any thread. The
      # client waits, but no longer than for an opening handshake at all: 30 s. Where it has been
      # refused, it stays so.
      #
      # @example A decision that takes time
      #   ws.onrequest do |handshake, response|
      #     response.defer
      #     Thread.new { known?(handshake) ? response.accept : response.refuse(401) }
      #   end
      # @return [nil]
      # @raise [WebSocketError] if the client has its answer already, for `onrequest` was set too
      #   late
      def defer
        raise WebSocketError, SentResponse::TOO_LATE if @native.is_a?(SentResponse)

        @deferred = true
        nil
      end

      # Opens the WebSocket after a {#defer}. Where the client is gone, nothing happens.
      #
      # @return [nil]
      # @raise [WebSocketError] if it is answered already, or one of the {#headers} cannot be set
      def accept
        decide { @native.add(@headers) }
      end

      # Tells if the decision is left to a later one.
      #
      # @api private
      # @return [Boolean]
      def pending?
        @deferred && !@decided && !@cancelled ? true : false
      end

      # Accepts, where nobody has decided otherwise.
      #
      # @api private
      def accept_by_default
        accept unless @decided || @cancelled
        nil
      end

      # Refuses with 500: something went wrong while the application decided, and nothing that it
      # has said counts.
      #
      # @api private
      def fail
        @turn.clear
        @refusal = Native.refusal(500, {}, "Internal Server Error")
        @decided = true
      end

      # Tells if what is decided is to be done now, on the reactor's thread. It is so once.
      #
      # @api private
      # @return [Boolean]
      def finish
        return false if @finished || @cancelled || !@decided

        @finished = true
      end

      # The client is gone, or its time is up.
      #
      # @api private
      def cancel
        @cancelled = true
      end

      private

      # The first decision is the only one.
      def decide
        return if @cancelled

        take_turn
        begin
          yield
          @decided = true
        ensure
          @turn << true unless @decided
        end
        @on_decided.call
        nil
      end

      def take_turn
        @turn.pop(true)
      rescue ThreadError
        raise WebSocketError, "The opening handshake is answered already"
      end
    end

    # Stands for the answer to an opening handshake that has left before the application was asked.
    #
    # @api private
    class SentResponse
      # The error for an application that wants to change an answer that was sent.
      TOO_LATE = "The opening handshake has been answered: set onrequest in the accept block"

      # @return [String, nil] the subprotocol that is selected
      attr_reader :protocol

      # @param protocol [String, nil]
      def initialize(protocol)
        @protocol = protocol
      end

      # @raise [WebSocketError]
      def protocol=(_name)
        raise WebSocketError, TOO_LATE
      end

      # @param headers [Hash]
      # @raise [WebSocketError] if there are any
      def add(headers)
        raise WebSocketError, TOO_LATE unless headers.empty?
      end
    end
  end
end
