# frozen_string_literal: true

module EventMachine
  module WebSocket
    module Transport
      # EventMachine::Connection's own methods, for a connection whose socket is not EventMachine's.
      #
      # A signature of ours must never reach EventMachine: it does not know it, and some of its
      # functions then end the process.
      module BackgroundMethods
        # (see EventMachine::Connection#close_connection)
        def close_connection(after_writing = false)
          return super unless @native

          @native.close_connection(after_writing ? true : false)
          nil
        end

        # (see EventMachine::Connection#close_connection_after_writing)
        def close_connection_after_writing
          close_connection(true)
        end

        # @return [String, nil] the client's address, packed as by Socket.pack_sockaddr_in; nil once
        #   the connection is gone
        def get_peername
          return super unless @native

          pack(@native.peer)
        end

        # @return [String, nil] this side's address, packed as by Socket.pack_sockaddr_in; nil once
        #   the connection is gone
        def get_sockname
          return super unless @native

          pack(@native.local)
        end

        # @return [Integer] the bytes that wait to be written
        def get_outbound_data_size
          @native ? @native.outbound_data_size : super
        end

        # @return [Boolean] whether the connection is gone
        def error?
          @native ? @native.closed? : super
        end

        # Stops reading.
        def pause
          return super unless @native

          @native.paused = @paused = true
        end

        # Goes on reading.
        def resume
          return super unless @native

          @native.paused = @paused = false
        end

        # @return [Boolean]
        def paused?
          @native ? (@paused || false) : super
        end

        # Encrypts the connection. Called by `post_init` where `:secure` is set.
        #
        # @param args [Hash] EventMachine's keys
        # @raise [ArgumentError] if no server can be made of them
        # @raise [EventMachine::FileNotFoundException] if a file is missing
        # @raise [WebSocketError] once the connection is being read
        def start_tls(args = {})
          return super unless @native

          raise WebSocketError, "start_tls: the connection has begun already" if @native_started

          @native_tls = Background.tls_config(args)
          nil
        end

        # @api private
        def background_opened(request)
          handshake = Handshake.answered(request)
          debug [:accepting_ws_version, handshake.protocol_version]
          @handler = @native
          trigger_on_open(handshake)
        rescue StandardError => e
          application_error(e)
        end

        # @api private
        def background_refused(error)
          debug [:error, error]
          trigger_on_error(error)
        rescue StandardError => e
          application_error(e)
        end

        # @api private
        def background_failed(error)
          debug [:error, error]
          trigger_on_error(error)
        rescue StandardError => e
          application_error(e)
        end

        # @api private
        def background_unbind
          # As EventMachine does: whoever has a parameter for the reason gets one.
          method(:unbind).arity.zero? ? unbind : unbind(nil)
        end

        # @api private
        def background_accepted(native, signature)
          @native = native
          @signature = signature
        end

        # @api private
        def background_start(server)
          overrides = Overrides.of(self)
          @native.max_frame_size = max_frame_size
          @native.close_timeout = close_timeout
          @native_started = true
          server.start(@native, @native_tls, (@secure || @secure_proxy) ? true : false,
                       overrides.raw || @debug ? true : false, overrides.triggers,
                       @outbound_limit.to_i)
        end

        private

        def pack(address)
          host, port = address
          Socket.pack_sockaddr_in(port, host) unless @native.closed?
        end
      end
    end
  end
end
