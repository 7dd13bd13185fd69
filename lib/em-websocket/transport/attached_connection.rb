# frozen_string_literal: true

require_relative "../debugger"
require_relative "../handshake"
require_relative "../handshake_policy"
require_relative "../mail"
require_relative "../options"
require_relative "../overrides"
require_relative "../presence"
require_relative "../transport"
require_relative "attached_subscriber"
require_relative "cold_state"
require_relative "forwarded_client"
require_relative "polled_drain"
require_relative "polled_timeout"

module EventMachine
  module WebSocket
    module Transport
      # The transport of a connection whose bytes pass through Ruby: on a socket of EventMachine's,
      # or raw, in the background.
      #
      # Methods are called with the {Connection} that it is of.
      #
      # @api private
      class AttachedConnection
        include Base
        include ForwardedClient
        include PolledDrain

        # The default of `:handshake_timeout` for a raw connection, in seconds; on EventMachine's
        # own sockets there is none, as in em-websocket.
        HANDSHAKE_TIMEOUT = 30

        # The bytes that are read while the application puts off its decision; then the client
        # waits.
        EARLY_LIMIT = 64 * 1024

        private_constant :HANDSHAKE_TIMEOUT, :EARLY_LIMIT

        # @return [Native::Connection, nil] what knows the socket of a raw connection
        attr_reader :native

        # @return [Boolean] whether the connection is gone, or the application has ended it
        attr_writer :ended

        # Sets whether a connection that is not read at present stays so, once its handshake is
        # decided.
        #
        # @return [Boolean]
        attr_writer :paused

        # @param native [Native::Connection, nil]
        # @param cold_state [ColdState, nil] what the application has said before
        # @param options [Options, nil]
        def initialize(native = nil, cold_state = nil, options = nil)
          @native = native
          @cold_state = cold_state
          @batch = nil
          configure(options) if options
        end

        # @param source [#[], Options] what {Connection} is given
        # @return [Options] as they are checked
        def configure(source)
          @options = checked(source)
          @strict = @options[:strict] || false
          @longest = @options[:max_message_size]
          # Few have it.
          most = @options[:max_subscriptions]
          @max_subscriptions = most if most
          @closes_at_gap = true if @options[:gap] == :close
          @options
        end

        # @return [Boolean] see {Connection#strict?}
        def strict?(_connection)
          @strict || false
        end

        # The application has given the connection methods of its own, which are called here.
        def changed(_connection)
          nil
        end

        # The opening handshake begins: its time does, where it is limited.
        def begin_opening(connection)
          seconds = @options[:handshake_timeout]
          seconds = HANDSHAKE_TIMEOUT if seconds.nil? && @native
          return unless seconds&.positive? && EventMachine.reactor_running?

          @opening_timer = PolledTimeout.new(seconds, -> { time_out(connection) }) do
            paused = !@deferred && Transport.socket?(connection) && connection.paused?
            paused ? :suspended : :nothing
          end
        end

        # @return [Handshake] that tells the connection what becomes of it
        def opening_handshake(connection)
          handshake = new_handshake(connection)
          handshake.before_response { |response| requested(connection, handshake, response) }
          handshake.on_early { |bytes| suspend_reading(connection) if bytes >= EARLY_LIMIT }
          handshake.callback do |response, handler_class|
            accepted(connection, handshake, response, handler_class)
          end
          handshake.errback { |error| refused(connection, handshake, error) }
          handshake
        end

        # A message of the application's.
        #
        # @param data [String]
        # @param handler [Handler, nil] the connection's
        # @return [nil]
        def send_text(data, handler)
          @subscriber&.send_published
          return handler.send_text_frame(data) if handler

          raise WebSocketError, "Cannot send data before onopen callback"
        end

        # (see #send_text)
        # @return [Integer]
        def send_binary(data, handler)
          @subscriber&.send_published
          return handler.send_binary_frame(data) if handler

          raise WebSocketError, "Cannot send binary before onopen callback"
        end

        # The connection is gone.
        def gone(connection)
          @ended = true
          cancel_decision
          @opening_timer&.cancel
          @subscriber&.close
          Presence.gone(connection, @cold_state&.joins)
          Subscriptions.cancel(connection)
        end

        # Tells of TLS on a raw connection: see {Native::Connection}.
        def secured(connection)
          @native.secured(connection)
        end

        # (see #secured)
        def unbound(connection, changed)
          gone(connection)
          @native.unbound(connection, changed)
        end

        # (see #secured)
        def failed(connection, error)
          @native.failed(connection, error)
        end

        # (see #secured)
        def drained(connection)
          @native.drained(connection)
        end

        # @return [Boolean] whether the connection is gone, or is being ended
        def ended?
          @ended || @native&.ending?
        end

        # @return [Integer, nil] the option; nil: not given
        def max_subscriptions(_connection)
          @max_subscriptions
        end

        # @return [Boolean] the option: the connection is closed when a channel of its has missed
        #   messages
        def closes_at_gap?(_connection)
          @closes_at_gap || false
        end

        # @return [Boolean] whether messages can be sent
        def open?(handler)
          !ended? && handler.state == :connected
        end

        # @return [AttachedSubscriber] what knows its channels
        def subscriber(connection)
          @subscriber || Mail.once { @subscriber ||= AttachedSubscriber.new(connection, self) }
        end

        # @return [Native::Mailbox, nil] by which its channels know it
        def mailbox
          @subscriber&.mailbox
        end

        # Sends what was published before, as something else is about to be sent.
        def send_published
          @subscriber&.send_published
        end

        # Opens the WebSocket for {HandshakePolicy}, if that can still be.
        def accept_handshake(connection, handshake, response)
          return if ended?

          resume_reading(connection)
          handshake.accept(response)
        rescue StandardError => e
          # Otherwise it leaves by receive_data, as in em-websocket.
          raise unless @deferred

          Transport.application_error(connection, e)
        end

        # Sends the refusal for {HandshakePolicy}.
        def reject_handshake(connection, response)
          return if ended?

          connection.send_data(response)
          connection.close_connection_after_writing
        end

        # Notes for {HandshakePolicy} that the application puts off its decision.
        def defer
          @deferred = true
        end

        # @return [Boolean] whether it is not read for the sake of {EARLY_LIMIT}
        def suspended?
          @suspended || false
        end

        # @return [Boolean] whether the application has stopped reading, where it is held anyway
        def paused?
          @paused || false
        end

        # Gathers what is sent from now on, if nobody can see that. EventMachine writes nothing
        # before the read is told.
        #
        # @param protocol [Native::Protocol]
        # @return [Boolean]
        def begin_batch(connection, protocol)
          return false if @batch || !batches?(connection)

          # In this order, and the other way round at the end: other threads send meanwhile.
          @batch = protocol
          protocol.begin_batch(Transport.get(connection, :@signature))
          true
        end

        # Hands over what was gathered. Nothing is gathered any more in this read.
        def flush_batch
          @batch&.end_batch
        end

        # The read is told.
        #
        # @param protocol [Native::Protocol]
        def end_batch(protocol)
          protocol.end_batch
        ensure
          @batch = nil
        end

        private

        def configured_message(_connection)
          @longest
        end

        # Ends the opening handshake, if the application has not decided before its time was up.
        def time_out(connection)
          return if ended? || Transport.get(connection, :@handler)

          cancel_decision
          begin
            error = HandshakeError.new("Opening handshake timed out")
            Log.error(connection, error)
            connection.trigger_on_error(error)
          ensure
            connection.close_connection
          end
        end

        # Stops reading, without a word to the application, whose own `pause` is another matter.
        def suspend_reading(connection)
          return if @suspended || ended?

          @suspended = true
          return @native.deferred = true if @native

          signature = Transport.get(connection, :@signature)
          @paused = EventMachine.connection_paused?(signature)
          EventMachine.pause_connection(signature)
        end

        def resume_reading(connection)
          return unless @suspended

          @suspended = false
          return @native.deferred = false if @native

          EventMachine.resume_connection(Transport.get(connection, :@signature)) unless @paused
        end

        def requested(connection, handshake, response)
          return if ended?

          options = @options || Options::NONE
          believe(handshake) if options[:trusted_proxies]
          asks = HandshakePolicy.asks?(options, @cold_state, Overrides.of(connection))
          return handshake.accept(response) unless asks

          HandshakePolicy.new(connection, handshake, response, self, options).decide
        end

        def accepted(connection, handshake, response, handler_class)
          Debugger.tell(connection, [:accepting_ws_version, handshake.protocol_version])
          Debugger.tell(connection, [:upgrade_response, response])
          connection.send_data(response)
          # Nobody is told of a connection that has ended at this.
          return if ended?

          handler = handler_class.new(connection, Transport.get(connection, :@debug))
          Transport.set(connection, :@handler, handler)
          handler.compress(handshake.deflate) if handshake.deflate
          handler.watch(@options || Options::NONE)
          # Nobody asks for them any more.
          @options = nil
          handler.allow_batches if Overrides.sends_directly?
          @opening_timer&.cancel
          Transport.set(connection, :@handshake, nil)
          Log.opened(connection, self, handshake)
          connection.trigger_on_open(handshake)
          # The first frames may have come with the request.
          handler.begin(handshake.rest) unless handshake.rest.empty?
        end

        def refused(connection, handshake, error)
          believe(handshake)
          Debugger.tell(connection, [:error, error])
          Log.error(connection, error)
          connection.trigger_on_error(error)
        ensure
          if handshake.refusal
            connection.send_data(handshake.refusal)
            connection.close_connection_after_writing
          else
            connection.__send__(:abort)
          end
        end

        # Tells if frames are gathered: not where each single one counts, nor in a fiber (which a
        # callback may leave, and EventMachine goes on).
        def batches?(connection)
          @native.nil? && Transport.get(connection, :@outbound_limit)&.zero? &&
            @cold_state&.ondrain.nil? && Transport.get(connection, :@signature).is_a?(Integer) &&
            EventMachine.reactor_thread? && Fiber.blocking? && Overrides.sender?(connection)
        end
      end
    end
  end
end
