# frozen_string_literal: true

module EventMachine
  module WebSocket
    # How the bytes of a connection come.
    module Transport
      # EventMachine::Connection's own methods, for a connection whose socket is not EventMachine's.
      #
      # A signature of ours must never reach EventMachine: it does not know it, and some of its
      # functions then end the process.
      module BackgroundMethods
        # EventMachine's default. The opening handshakes have a limit of their own here.
        PENDING_CONNECT_TIMEOUT = 20.0

        # What needs a socket of EventMachine's.
        %i[
          detach disable_keepalive enable_keepalive get_sock_opt notify_readable? notify_readable=
          notify_writable? notify_writable= proxy_incoming_to reconnect send_datagram set_sock_opt
          stop_proxying
        ].each do |name|
          define_method(name) do |*arguments|
            return super(*arguments) unless @native

            raise WebSocketError, "#{name}: this connection's socket is not EventMachine's; " \
                                  "EM.start_server with #{self.class} makes one whose socket is"
          end
        end

        # Ends the TCP connection.
        #
        # @param after_writing [Boolean] once everything that was sent has been written
        def close_connection(after_writing = false)
          return super unless @native

          @native.close_connection(after_writing ? true : false)
          nil
        end

        # Ends the TCP connection once everything that was sent has been written.
        def close_connection_after_writing
          close_connection(true)
        end

        # @return [String, nil] the client's address, packed as by Socket.pack_sockaddr_in; nil once
        #   the connection is gone
        def get_peername
          return pack(@native.peer) if @native

          # EventMachine ends the process over a connection that it is just letting go of.
          super if @handler.nil? || Reactor.knows?(@signature)
        end

        # @return [String, nil] this side's address, packed as by Socket.pack_sockaddr_in; nil once
        #   the connection is gone
        def get_sockname
          return pack(@native.local) if @native

          super if @handler.nil? || Reactor.knows?(@signature)
        end

        # @return [Integer] the bytes that wait to be written
        def get_outbound_data_size
          @native ? @native.outbound_data_size : super
        end

        # @return [Boolean] whether the connection is gone
        def error?
          @native ? @native.closed? : super
        end

        # @return [Boolean] false: its bytes are read here
        def watch_only?
          @native ? false : super
        end

        # Sends a file's bytes as they are.
        #
        # @param filename [String]
        def send_file_data(filename)
          @native ? send_data(File.binread(filename)) : super
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

        # @return [Float] how long nothing may be read nor written before the connection is ended,
        #   in seconds; 0.0: no limit
        def comm_inactivity_timeout
          @native ? @native.inactivity_timeout : super
        end

        # @param seconds [Numeric, #to_f] 0: no limit
        def comm_inactivity_timeout=(seconds)
          @native ? @native.inactivity_timeout = seconds.to_f : super
        end
        alias set_comm_inactivity_timeout comm_inactivity_timeout=

        # @return [Float] as in EventMachine; it is for clients
        def pending_connect_timeout
          @native ? (@pending_connect_timeout || PENDING_CONNECT_TIMEOUT) : super
        end

        # @param seconds [Numeric]
        def pending_connect_timeout=(seconds)
          @native ? @pending_connect_timeout = seconds.to_f : super
        end
        alias set_pending_connect_timeout pending_connect_timeout=

        # @return [Integer] as in EventMachine, where it is not measured for such connections
        def get_idle_time
          @native ? 0 : super
        end

        # @return [Integer] 0: nothing is proxied
        def get_proxied_bytes
          @native ? 0 : super
        end

        # There is no process at the other end.
        #
        # @return [nil]
        def get_pid
          @native ? nil : super
        end

        # There is no process at the other end.
        #
        # @return [nil]
        def get_status
          @native ? nil : super
        end

        # Encrypts the connection. Called by `post_init` where `:secure` is set.
        #
        # @param args [Hash] EventMachine's keys, for which its `[]` is asked
        # @raise [ArgumentError] if no server can be made of them
        # @raise [EventMachine::FileNotFoundException] if a file is missing
        # @raise [WebSocketError] once the connection is being read
        def start_tls(args = {})
          return super unless @native

          raise WebSocketError, "start_tls: the connection has begun already" if @native_started

          @native_tls = @checked_options.certificates.config(args)
          @native_verifies = @native_tls.verify_peer?
          nil
        end

        # @return [String, nil] OpenSSL's name of the cipher suite; nil without TLS
        def get_cipher_name
          @native ? tls_session[0] : super
        end

        # @return [Integer, nil] the strength of the cipher, in bits; nil without TLS
        def get_cipher_bits
          @native ? tls_session[1] : super
        end

        # @return [String, nil] `"TLSv1.2"` or `"TLSv1.3"`; nil without TLS
        def get_cipher_protocol
          @native ? tls_session[2] : super
        end

        # @return [String, nil] the host that the client asked for; nil if it named none
        def get_sni_hostname
          @native ? tls_session[3] : super
        end

        # @return [String, nil] the client's certificate, PEM; nil if it has shown none
        def get_peer_cert
          @native ? tls_session[4]&.first : super
        end

        # Becomes the object of a connection that was accepted.
        #
        # @api private
        # @param options [Options] the server's
        def background_accepted(native, signature, options)
          @native = native
          @signature = signature
          @checked_options = options
        end

        # The accept block has returned: reading begins.
        #
        # @api private
        def background_start(server)
          @native.limit(max_frame_size, max_message_size)
          @native.close_timeout = close_timeout
          @native_started = true
          traits = background_traits
          # What its bytes are is the application's, so the native side sets no limit.
          limit_opening(@checked_options[:handshake_timeout]) if traits.include?(:raw)
          server.read(@native, @native_tls, @checked_options.settings, traits)
        end

        # TLS is established.
        #
        # @api private
        def background_secured
          # EventMachine shows the certificates from the authority's down to the client's own.
          if @native_verifies && !tls_session[4].reverse.all? { |pem| ssl_verify_peer(pem) }
            return close_connection
          end

          ssl_handshake_completed
        rescue StandardError => e
          application_error(e)
        end

        # The opening handshake has been answered.
        #
        # @api private
        def background_opened(request)
          open_background(Handshake.answered(request))
        end

        # The opening handshake is about to be answered, if the application has nothing against it.
        #
        # @api private
        def background_requested(request, answer)
          handshake = Handshake.answered(request, answer)
          admit(handshake, answer) do |response|
            if response.refusal
              @native.refuse(response.refusal)
            else
              @native.open(answer)
              begin
                open_background(handshake)
              ensure
                @native.opened
              end
            end
          end
        end

        # The opening handshake was refused, or a rule was broken.
        #
        # @api private
        def background_failed(error)
          @response&.withdraw
          trigger_on_error(error)
        rescue StandardError => e
          application_error(e)
        end

        # What waits to be written has become little.
        #
        # @api private
        def background_drained
          trigger_on_drain
        rescue StandardError => e
          application_error(e)
        end

        # The connection is gone.
        #
        # @api private
        def background_unbind
          @response&.withdraw
          # As EventMachine does: whoever has a parameter for the reason gets one.
          method(:unbind).arity.zero? ? unbind : unbind(nil)
        end

        private

        def open_background(handshake)
          @handler = @native
          trigger_on_open(handshake)
        rescue StandardError => e
          application_error(e)
        end

        def background_traits
          own = Overrides.of(self)
          traits = []
          traits << :secure if @secure || @secure_proxy
          traits << :raw if @debug || own.intersect?(Overrides::RAW)
          traits << :asks if asks?(own)
          traits << :triggers if own.intersect?(Overrides::TRIGGERS)
          traits << :strict if strict?
          traits << :announce_tls if announce_tls?(own)
          traits
        end

        def announce_tls?(own)
          @native_tls && (@native_verifies || own.intersect?(Overrides::TLS))
        end

        def tls_session
          @native.tls_session || []
        end

        def pack(address)
          host, port = address
          Socket.pack_sockaddr_in(port, host) unless @native.closed?
        end
      end
    end
  end
end
