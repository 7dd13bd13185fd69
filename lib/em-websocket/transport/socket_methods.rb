# frozen_string_literal: true

module EventMachine
  module WebSocket
    # See transport.rb.
    module Transport
      # EventMachine::Connection's own methods, for a connection whose socket is not EventMachine's.
      #
      # A signature of ours must never reach EventMachine: it does not know it, and some of its
      # functions then end the process.
      module SocketMethods
        # EventMachine's default. The opening handshakes have a limit of their own here.
        PENDING_CONNECT_TIMEOUT = 20.0

        # Methods that need a socket of EventMachine's.
        %i[
          detach disable_keepalive enable_keepalive get_sock_opt notify_readable? notify_readable=
          notify_writable? notify_writable= proxy_incoming_to reconnect send_datagram set_sock_opt
          stop_proxying
        ].each do |name|
          define_method(name) do |*arguments|
            return super(*arguments) unless @em_websocket&.native

            raise WebSocketError, "#{name}: this connection's socket is not EventMachine's; " \
                                  "EM.start_server with #{Connection} makes one whose socket is"
          end
        end

        # Ends the TCP connection.
        #
        # @param after_writing [Boolean] once everything that was sent has been written
        def close_connection(after_writing = false)
          native = @em_websocket&.native
          unless native
            @em_websocket&.ended = true
            return super
          end

          native.close_connection(after_writing ? true : false)
          nil
        end

        # Ends the TCP connection once everything that was sent has been written.
        def close_connection_after_writing
          close_connection(true)
        end

        # @return [String, nil] the client's address, packed as by Socket.pack_sockaddr_in; nil once
        #   the connection is gone
        def get_peername
          native = @em_websocket&.native
          return native.peername if native

          # EventMachine ends the process over a connection that it is just letting go of.
          super if @handler.nil? || Reactor.knows?(@signature)
        end

        # @return [String, nil] this side's address, packed as by Socket.pack_sockaddr_in; nil once
        #   the connection is gone
        def get_sockname
          native = @em_websocket&.native
          return native.sockname if native

          super if @handler.nil? || Reactor.knows?(@signature)
        end

        # @return [Integer] the bytes that wait to be written
        def get_outbound_data_size
          native = @em_websocket&.native
          native ? native.outbound_data_size : super
        end

        # @return [Boolean] whether the connection is gone
        def error?
          native = @em_websocket&.native
          native ? native.closed? : super
        end

        # @return [Boolean] false: its bytes are read here
        def watch_only?
          native = @em_websocket&.native
          native ? false : super
        end

        # Sends a file's bytes as they are.
        #
        # @param filename [String]
        def send_file_data(filename)
          native = @em_websocket&.native
          native ? send_data(File.binread(filename)) : super
        end

        # Stops reading, until {#resume} or our close: its answer must be read.
        def pause
          transport = @em_websocket
          native = transport&.native
          return native.paused = true if native

          transport&.suspended? ? transport.paused = true : super
        end

        # Goes on reading.
        def resume
          transport = @em_websocket
          native = transport&.native
          result = if native
                     native.paused = false
                   elsif transport&.suspended?
                     transport.paused = false
                   else
                     super
                   end
          # Bytes that came with the opening handshake may wait for this.
          Transport.get(self, :@handler)&.resumed
          result
        end

        # @return [Boolean]
        def paused?
          transport = @em_websocket
          native = transport&.native
          return native.paused? if native

          transport&.suspended? ? transport.paused? : super
        end

        # @return [Float] how long nothing may be read nor written before the connection is ended,
        #   in seconds; 0.0: no limit
        def comm_inactivity_timeout
          native = @em_websocket&.native
          native ? native.inactivity_timeout : super
        end

        # @param seconds [Numeric, #to_f] 0: no limit
        def comm_inactivity_timeout=(seconds)
          native = @em_websocket&.native
          native ? native.inactivity_timeout = seconds.to_f : super
        end
        alias set_comm_inactivity_timeout comm_inactivity_timeout=

        # @return [Float] as in EventMachine; it is for clients
        def pending_connect_timeout
          native = @em_websocket&.native
          return super unless native

          native.cold_state&.pending_connect_timeout || PENDING_CONNECT_TIMEOUT
        end

        # @param seconds [Numeric]
        def pending_connect_timeout=(seconds)
          native = @em_websocket&.native
          native ? native.cold_state!.pending_connect_timeout = seconds.to_f : super
        end
        alias set_pending_connect_timeout pending_connect_timeout=

        # @return [Integer] as in EventMachine, where it is not measured for such connections
        def get_idle_time
          native = @em_websocket&.native
          native ? 0 : super
        end

        # @return [Integer] 0: nothing is proxied
        def get_proxied_bytes
          native = @em_websocket&.native
          native ? 0 : super
        end

        # There is no process at the other end.
        #
        # @return [nil]
        def get_pid
          native = @em_websocket&.native
          native ? nil : super
        end

        # There is no process at the other end.
        #
        # @return [nil]
        def get_status
          native = @em_websocket&.native
          native ? nil : super
        end

        # Encrypts the connection. Called by `post_init` where `:secure` is set.
        #
        # @param args [Hash] EventMachine's keys, for which its `[]` is asked
        # @raise [ArgumentError] if no server can be made of them
        # @raise [EventMachine::FileNotFoundException] if a file is missing
        # @raise [WebSocketError] once the connection is being read
        def start_tls(args = {})
          native = @em_websocket&.native
          unless native
            TlsOptions.check_attached(args)
            return super
          end
          raise WebSocketError, "start_tls: the connection has begun already" if native.started?

          native.start_tls(native.options(self).certificates.config(args))
          nil
        end

        # @return [String, nil] OpenSSL's name of the cipher suite; nil without TLS
        def get_cipher_name
          native = @em_websocket&.native
          native ? native.tls_session&.at(0) : super
        end

        # @return [Integer, nil] the strength of the cipher, in bits; nil without TLS
        def get_cipher_bits
          native = @em_websocket&.native
          native ? native.tls_session&.at(1) : super
        end

        # @return [String, nil] `"TLSv1.2"` or `"TLSv1.3"`; nil without TLS
        def get_cipher_protocol
          native = @em_websocket&.native
          native ? native.tls_session&.at(2) : super
        end

        # @return [String, nil] the host that the client asked for; nil if it named none
        def get_sni_hostname
          native = @em_websocket&.native
          native ? native.tls_session&.at(3) : super
        end

        # @return [String, nil] the client's certificate, PEM; nil if it has shown none
        def get_peer_cert
          native = @em_websocket&.native
          native ? native.tls_session&.at(4)&.first : super
        end
      end
    end
  end
end
