# frozen_string_literal: true

require_relative "errors"
require_relative "native"

module EventMachine
  module WebSocket
    # The answer to an opening handshake before it is sent: what the block of {Connection#onrequest}
    # is given. Without a word of the block's, the WebSocket is opened.
    class Response
      # What to add to the answer that opens the WebSocket.
      #
      # @return [Hash{String => String, Array<String>}] an Array makes one field of each value
      attr_reader :headers

      # The whole answer that refuses, once there is one.
      #
      # @api private
      # @return [String, nil]
      attr_reader :refusal

      # @api private
      # @param answer [Native::Answer]
      # @param offered [Array<String>] the subprotocols that may be selected
      # @yield once it is decided, on the reactor's thread
      def initialize(answer, offered, &conclude)
        @answer = answer
        @offered = offered
        @conclude = conclude
        @headers = {}
      end

      # @return [String, nil] the subprotocol that is selected
      def protocol
        @answer.protocol
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

        @answer.protocol = name
      end

      # Answers with another status than 101: there will be no WebSocket, no `onopen` and no
      # `onclose`.
      #
      # @param status [Integer] 200 to 599
      # @param body [String]
      # @param headers [Hash{String => String, Array<String>}] `"Content-Type"` is `text/plain`
      #   unless it is among them
      # @return [nil]
      # @raise [WebSocketError] if it is answered already, the status is none to refuse with, or a
      #   header is none that can be set
      def refuse(status, body = "", headers = {})
        return if @withdrawn

        undecided!
        @refusal = Native.refusal(status, headers, body)
        settle if @deferred
        nil
      end

      # Leaves the decision to a later {#accept} or {#refuse}, which may come from any thread. The
      # client waits, but no longer than for an opening handshake at all: 30 s.
      #
      # @return [nil]
      def defer
        @deferred = true
        nil
      end

      # Opens the WebSocket after a {#defer}. Where the client is gone, nothing happens.
      #
      # @return [nil]
      # @raise [WebSocketError] if it is answered already, or one of the {#headers} cannot be set
      def accept
        return if @withdrawn

        undecided!
        @deferred = true
        settle
      end

      # Whether the decision is left to a later one.
      #
      # @api private
      # @return [Boolean]
      def pending?
        @deferred && !@settled && !@withdrawn ? true : false
      end

      # Nobody decides any more: what was said is done.
      #
      # @api private
      def settle
        return if @settled || @withdrawn

        @answer.add(@headers) unless @refusal
        @settled = true
        EventMachine.schedule { @conclude.call unless @withdrawn }
        nil
      end

      # Something went wrong while the application decided.
      #
      # @api private
      def fail
        return if @settled || @withdrawn

        @refusal = Native.refusal(500, {}, "Internal Server Error")
        settle
      end

      # The client is gone, or its time is up.
      #
      # @api private
      def withdraw
        @withdrawn = true
      end

      private

      def undecided!
        return unless @refusal || @settled

        raise WebSocketError, "The opening handshake is answered already"
      end
    end
  end
end
