# frozen_string_literal: true

require_relative "options"
require_relative "overrides"
require_relative "response"

module EventMachine
  module WebSocket
    # The opening handshake of a {Connection}: who may open a WebSocket, and with which subprotocol.
    # Only where there is something to ask the application does it wait for the reactor's thread.
    module Admission
      # Compares bytes, whatever either side is labelled. A Regexp that cannot be held against such
      # bytes does not match: they are the client's, and must not raise.
      #
      # @api private
      # @param allowed [String, Regexp, nil]
      # @param origin [String, nil]
      # @return [Boolean]
      def self.allows?(allowed, origin)
        return allowed.nil? && origin.nil? unless allowed && origin

        return allowed.b == origin.b unless allowed.is_a?(Regexp)

        allowed.match?(allowed.options.anybits?(Regexp::NOENCODING) ? origin.b : origin)
      rescue EncodingError, ArgumentError, RegexpError
        false
      end

      # Called with an opening handshake that is about to be accepted.
      #
      # @yieldparam handshake [Handshake] {Handshake#protocol} is what would be selected
      # @yieldparam response [Response] refuses, selects the subprotocol, adds headers; or nothing
      # @return [Proc] the block
      def onrequest(&block)
        @onrequest = block
      end

      # @param handshake [Handshake]
      # @param response [Response]
      def trigger_on_request(handshake, response)
        @onrequest&.call(handshake, response)
      end

      private

      # Whether an opening handshake has to be shown to the application first.
      def asks?(own = Overrides.of(self))
        @checked_options&.asks? || @onrequest || own.intersect?(Overrides::REQUEST)
      end

      # Finds out what the answer to a handshake is; the block is called with it, now or later.
      def admit(handshake, answer, &conclude)
        response = Response.new(answer, handshake.protocols) do
          @response = nil
          conclude.call(response)
        end
        @response = response
        if (error = objection(handshake, response))
          debug [:error, error]
          return refuse_for(error, response)
        end
        trigger_on_request(handshake, response)
        response.settle unless response.pending?
      rescue StandardError => e
        debug [:error, e]
        begin
          trigger_on_error(e) || raise
        ensure
          response&.fail
        end
      end

      # What the options have against a handshake.
      def objection(handshake, response)
        options = @checked_options || Options::NONE
        origin = handshake.origin
        if options[:origins]&.none? { |one| Admission.allows?(one, origin) }
          response.refuse(403, "Origin not allowed")
          return HandshakeError.new("Origin #{origin.inspect} not allowed")
        end
        return unless options[:protocols].respond_to?(:call)

        response.protocol = options[:protocols].call(handshake)
        return unless response.protocol.nil? && options[:protocols_required]

        error = HandshakeError.new("None of the offered subprotocols is supported")
        response.refuse(400, error.message)
        error
      end

      # The client is told once `onerror` has returned, as with every refusal.
      def refuse_for(error, response)
        trigger_on_error(error)
      ensure
        response.settle
      end

      def opening_handshake
        handshake = Handshake.new(@secure || @secure_proxy, @checked_options || Options::NONE)
        handshake.before_answer { |answer| handshake_requested(handshake, answer) } if asks?
        handshake.callback { |response, handler| handshake_accepted(handshake, response, handler) }
        handshake.errback { |error| handshake_refused(handshake, error) }
        handshake
      end

      # A client that sends more while the application decides has to wait.
      def handshake_requested(handshake, answer)
        admit(handshake, answer) do |response|
          resume if @deciding
          if response.refusal
            send_data(response.refusal)
            close_connection_after_writing
          else
            handshake.accept(answer)
          end
        end
        pause if (@deciding = @response&.pending?)
      end

      # On a socket of EventMachine's; the background has its own clock.
      def limit_opening(seconds)
        return unless seconds&.positive? && EventMachine.reactor_running?

        @opening_timer = EventMachine::Timer.new(seconds) do
          @response&.withdraw
          trigger_on_error(HandshakeError.new("Opening handshake timed out"))
          close_connection
        end
      end

      def handshake_accepted(handshake, response, handler_class)
        debug [:accepting_ws_version, handshake.protocol_version]
        debug [:upgrade_response, response]
        send_data(response)
        @handler = handler_class.new(self, @debug)
        @handler.compress(handshake.deflate) if handshake.deflate
        @handler.watch(@checked_options || Options::NONE)
        # Nobody asks for them any more.
        @checked_options = nil
        @handler.may_cork if Overrides.sends_directly?
        @opening_timer&.cancel
        @handshake = nil
        trigger_on_open(handshake)
        # The first frames may have come with the request.
        @handler.receive_data(handshake.rest) unless handshake.rest.empty?
      end

      def handshake_refused(handshake, error)
        debug [:error, error]
        trigger_on_error(error)
      ensure
        send_data(handshake.refusal) if handshake.refusal
        close_connection_after_writing
      end
    end
  end
end
