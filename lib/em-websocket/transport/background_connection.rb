# frozen_string_literal: true

require "socket"
require_relative "../debugger"
require_relative "../handler"
require_relative "../handshake"
require_relative "../handshake_policy"
require_relative "../http/exchange"
require_relative "../overrides"
require_relative "../presence"
require_relative "../transport"
require_relative "cold_state"
require_relative "unix_address"

module EventMachine
  module WebSocket
    module Native
      # The transport of a connection in the background: its bytes are read, checked and written by
      # the native core. What is defined here is called with the {WebSocket::Connection} that it is
      # of.
      #
      # Only what is {Transport::ColdState} is in instance variables.
      class Connection
        include Transport::Base

        # @return [Native::Connection] what knows the socket
        def native
          self
        end

        # @return [Native::Connection] what knows its channels
        def subscriber(_connection)
          self
        end

        # @return [Native::Connection] by which its channels know it
        def mailbox
          self
        end

        # @return [Integer, nil] the option; nil: not given
        def max_subscriptions(connection)
          options(connection)[:max_subscriptions]
        end

        # (see AttachedConnection#closes_at_gap?)
        def closes_at_gap?(connection)
          options(connection)[:gap] == :close
        end

        # @return [Boolean] whether messages can be sent
        def open?(handler)
          handler.state == :connected
        end

        # @return [String, nil] the client's address, packed; nil once the connection is gone
        def peername
          pack(peer, nil)
        end

        # @return [String, nil] this side's address, packed; nil once the connection is gone
        def sockname
          pack(local, unix_path)
        end

        # Does nothing: only connections on EventMachine's own sockets have batches.
        def flush_batch
          nil
        end

        # The application has given the connection methods of its own.
        def changed(connection)
          Overrides.warn_of_late(connection) if started?
        end

        # @param source [#[]] what {Connection} is given
        # @return [Options] as they are checked
        def configure(source)
          server = BackgroundServer.accepting&.options
          checked = Options.of(source, server)
          cold_state!.options = checked unless checked.equal?(server)
          checked
        end

        # @return [Options]
        def options(connection)
          known = @cold_state&.options || (BackgroundServer.accepting&.options unless started?)
          return known if known

          source = Native.variable(connection, :@options)
          server = Servers.all.find { |one| one.options.source.equal?(source) }
          server ? server.options : Options.of(source || {})
        end

        # @return [Boolean] see {WebSocket::Connection#strict?}
        def strict?(connection)
          options(connection)[:strict] || false
        end

        # Reading has a limit of its own.
        def begin_opening(_connection)
          nil
        end

        # The accept block has returned, and reading is about to begin.
        #
        # @param options [Options] the server's
        # @return [Array(Options, Array<Symbol>)] the connection's, and the flags of what has been
        #   found to be true of it
        def prepare_start(connection, options)
          options = @cold_state&.options || options
          frame = connection.max_frame_size
          limit(frame, longest_message(connection, frame))
          self.close_timeout = connection.close_timeout
          own = Overrides.of(connection)
          flags = flags(connection, own, options)
          if flags.include?(:raw)
            attached = Transport::AttachedConnection.new(self, cold_state, options)
            Transport.set(connection, :@em_websocket, attached)
            # The bytes' meaning is the application's, so the native side sets no limit.
            attached.begin_opening(connection)
          end
          [options, flags]
        end

        # TLS is established. Who has not agreed, for whatever reason, has refused the client.
        def secured(connection)
          agreed = false
          return unless certified?(connection)

          connection.ssl_handshake_completed
          agreed = true
        rescue StandardError => e
          Transport.application_error(connection, e)
        ensure
          close_connection(false) unless agreed
        end

        # The opening handshake is accepted.
        #
        # @param version [Integer] of the protocol
        # @param response [Native::Response, nil] what is to be sent, if the application has nothing
        #   against it; nil: it has been sent, for there was nobody to ask
        # @param changed [Boolean] whether the connection may have methods of the application's
        # @param server [BackgroundServer]
        def requested(connection, version, response, changed, server)
          unless response || @cold_state&.onrequest || (changed && asks?(connection))
            handshake = handshake(server, nil) if shows_handshake?(connection, changed)
            return accept_handshake(connection, handshake, nil, version)
          end

          handshake = handshake(server, response)
          options = @cold_state&.options || server.options
          response ||= SentResponse.new(handshake.protocol)
          HandshakePolicy.new(connection, handshake, response, self, options).decide
        ensure
          server.opening_told(connection)
        end

        # @return [Boolean] whether the client's handshake is answered, with nobody to be asked, and
        #   the application is about to be told
        def answered?
          let_in? && !@cold_state&.handshake_policy
        end

        # Plain HTTP has come, for the application.
        #
        # @param request [Native::Request]
        # @param body [String]
        # @param server [BackgroundServer]
        def http_requested(connection, request, body, server)
          request = HttpRequest.new(request, body, self)
          options = @cold_state&.options || server.options
          HttpExchange.new(connection, self, request, options, server).handle
        end

        # The opening handshake was refused, or a rule was broken.
        #
        # @param error [WebSocketError]
        def failed(connection, error)
          cancel_decision
          Log.error(connection, error)
          connection.trigger_on_error(error)
        rescue StandardError => e
          Transport.application_error(connection, e)
        end

        # Tells the application that little waits to be written by now.
        def drained(connection)
          stream = @cold_state&.http_stream
          return stream.drained if stream

          connection.trigger_on_drain
        rescue StandardError => e
          Transport.application_error(connection, e)
        end

        # The connection is gone.
        #
        # @param changed [Boolean] whether the connection may have methods of the application's
        def unbound(connection, changed)
          cancel_decision if @cold_state
          @cold_state&.http_stream&.drained
          return connection.unbind unless changed

          # As EventMachine does: whoever has a parameter for the reason gets one.
          no_reason = Transport.method_of(connection, :unbind).arity.zero?
          no_reason ? connection.unbind : connection.unbind(nil)
        ensure
          Presence.gone(connection, @cold_state&.joins)
          Subscriptions.cancel(connection)
          Log.closed(connection, Transport.of(connection))
        end

        # Opens the WebSocket for {HandshakePolicy}, if that can still be.
        #
        # @param handshake [WebSocket::Handshake, nil] nil where nobody can see it
        # @param response [Native::Response, nil] nil where it has been sent
        # @param version [Integer] of the protocol
        def accept_handshake(connection, handshake, response, version = handshake.protocol_version)
          handler = Handler.in_background(connection, self, version)
          open_websocket(connection, handler, version, response) do
            Log.opened(connection, self, handshake) if handshake
            connection.trigger_on_open(handshake)
          rescue StandardError => e
            Transport.application_error(connection, e)
          end
        end

        # Sends the refusal for {HandshakePolicy}.
        #
        # @param response [String] empty where a response has been sent already
        def reject_handshake(_connection, response)
          refuse(response)
        end

        # Notes for {HandshakePolicy} that the application puts off its decision.
        def defer
          self.deferred = true
        end

        private

        def handshake(server, response)
          WebSocket::Handshake.answered(server.take_request, response)
        end

        # True if `onopen` has a parameter for the handshake, or it is logged. Many have none, or
        # there is none.
        def shows_handshake?(connection, changed)
          block = Native.variable(connection, :@onopen)
          changed || WebSocket.logger || (block && !(block.is_a?(Proc) && block.arity.zero?))
        end

        def configured_message(connection)
          options(connection)[:max_message_size]
        end

        def pack(address, path)
          return if closed?
          return Transport::UnixAddress.pack(path) unless address

          host, port = address
          Socket.pack_sockaddr_in(port, host)
        end

        # EventMachine shows the certificates from the authority's down to the client's own.
        def certified?(connection)
          # An empty list, where none was asked for.
          tls_session[4].reverse.all? { |pem| connection.ssl_verify_peer(pem) }
        end

        # Tells if the application has a `trigger_on_request` by now.
        def asks?(connection)
          Overrides.of(connection).intersect?(Overrides::REQUEST)
        end

        def flags(connection, own, options)
          flags = []
          flags << :raw if Native.variable(connection, :@debug) || own.intersect?(Overrides::RAW)
          flags << :asks if HandshakePolicy.asks?(options, @cold_state, own)
          flags << :strict if options[:strict]
          flags << :announce_tls if tls? && (verifies? || own.intersect?(Overrides::TLS))
          flags << :http if HttpExchange.wanted?(options, @cold_state)
          flags << :plain_http if own.intersect?(Overrides::PLAIN_HTTP)
          flags
        end
      end
    end
  end
end
