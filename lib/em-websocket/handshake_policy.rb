# frozen_string_literal: true

require_relative "debugger"
require_relative "options/origins"
require_relative "overrides"
require_relative "reactor"
require_relative "response"

module EventMachine
  module WebSocket
    # The decision on one opening handshake: who may open a WebSocket, and with which subprotocol.
    # Only where there is something to ask the application does a handshake wait for the reactor's
    # thread.
    #
    # It is the same wherever the bytes come from. The transport does what is decided, by
    # `accept_handshake` and `reject_handshake`.
    #
    # @api private
    class HandshakePolicy
      class << self
        # See {Connection#onrequest}.
        #
        # @param connection [Connection]
        # @param block [Proc, nil]
        # @return [Proc, nil] the block
        # @raise [WebSocketError]
        def ask_by(connection, block)
          transport = Transport.of(connection)
          state = transport.cold_state!
          comes_late = block && state.onrequest.nil? && open?(connection)
          state.onrequest = block
          transport.native&.ask if block
          return block unless comes_late

          connection.close_connection
          raise WebSocketError, "onrequest: the WebSocket is open, nobody was asked: it is ended"
        end

        # @param options [Options] of a connection
        # @param state [Transport::ColdState, nil]
        # @param own [Array<Symbol>] what {Overrides} has found of it
        # @return [Boolean] whether an opening handshake has to be shown to the application first
        def asks?(options, state, own)
          options.asks? || state&.onrequest || own.intersect?(Overrides::REQUEST)
        end

        # Compares bytes, whatever either side is labelled. A Regexp that cannot be held against
        # such bytes does not match: they are the client's, and must not raise.
        #
        # @param allowed [String, Regexp, nil]
        # @param origin [String, nil]
        # @return [Boolean]
        def allows?(allowed, origin)
          return allowed.nil? && origin.nil? unless allowed && origin

          return allowed.b == origin.b unless allowed.is_a?(Regexp)

          allowed.match?(allowed.options.anybits?(Regexp::NOENCODING) ? origin.b : origin)
        rescue EncodingError, ArgumentError, RegexpError
          false
        end

        private

        def open?(connection)
          handler = Transport.get(connection, :@handler)
          !handler.nil? && handler.state != :closed
        end
      end

      # @param connection [Connection]
      # @param handshake [Handshake]
      # @param native [Native::Response, SentResponse]
      # @param transport [Native::Connection, Transport::AttachedConnection]
      # @param options [Options]
      def initialize(connection, handshake, native, transport, options)
        @connection = connection
        @handshake = handshake
        @native = native
        @transport = transport
        @options = options
        @response = Response.new(native, handshake.protocols) do
          # In the midst of the decision, its end is waited for.
          Reactor.schedule { finish } unless @deciding
        end
      end

      # Asks the options and the application. What is decided is done, now or later. Whatever leaves
      # from here, an exception of any kind, a throw or the end of the thread, refuses the client.
      def decide
        @transport.cold_state!.handshake_policy = self
        @deciding = true
        error = ask
        if error
          Debugger.tell(@connection, [:error, error])
          @connection.trigger_on_error(error)
        end
        decided = true
      ensure
        @response.fail unless decided || error
        @deciding = false
        @response.pending? ? @transport.defer : finish
      end

      # The application does not decide any more.
      def cancel
        @response.cancel
      end

      private

      # Asks whoever may have something against the handshake.
      #
      # @return [HandshakeError, nil] what the options have
      def ask
        error = rejection_reason
        @connection.trigger_on_request(@handshake, @response) unless error
        # The headers may be none that can be set.
        @response.accept_by_default unless error || @response.pending?
        error
      rescue StandardError => e
        Debugger.tell(@connection, [:error, e])
        Log.error(@connection, e)
        @response.fail
        @connection.trigger_on_error(e) || of_bytes?(e) || raise(e)
        nil
      end

      # Tells an exception that comes only of the bytes in a client's headers. Every client can send
      # such bytes.
      def of_bytes?(error)
        error.is_a?(EncodingError) ||
          (error.is_a?(ArgumentError) && error.message.start_with?("invalid byte sequence"))
      end

      # Refuses a handshake that the options do not allow, and returns the error.
      def rejection_reason
        options = @options
        origin = @handshake.origin
        if options[:origins]&.none? { |one| HandshakePolicy.allows?(one, origin) }
          @response.refuse(403, "Origin not allowed")
          return HandshakeError.new("Origin #{origin.inspect} not allowed")
        end
        return unless options[:protocols].respond_to?(:call)

        @response.protocol = options[:protocols].call(@handshake)
        return unless @response.protocol.nil? && options[:protocols_required]

        error = HandshakeError.new("None of the offered subprotocols is supported")
        @response.refuse(400, error.message)
        error
      end

      # The client is told, once `onerror` has returned.
      def finish
        return unless @response.finish

        @transport.cold_state!.handshake_policy = nil
        refusal = @response.refusal
        is_sent = @native.is_a?(SentResponse)
        if refusal
          Log.refused(@connection, refusal[/ (\d+)/, 1]&.to_i, path: @handshake.path)
          @transport.reject_handshake(@connection, is_sent ? "" : refusal)
        else
          @transport.accept_handshake(@connection, @handshake, is_sent ? nil : @native)
        end
      end
    end
  end
end
