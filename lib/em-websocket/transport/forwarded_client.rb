# frozen_string_literal: true

require_relative "../options/networks"
require_relative "unix_address"

module EventMachine
  module WebSocket
    module Transport
      # The client behind proxies, of a connection whose bytes pass through Ruby.
      #
      # @api private
      module ForwardedClient
        # @return [String, nil] the client's address as proxies say it is; nil where none has said
        def client_ip
          @native ? @native.client_ip : @cold_state&.client_ip
        end

        private

        # @param source [#[], Options]
        # @return [Options] with what says who the client is, as it can be had
        def checked(source)
          options = Options.of(source, @options)
          @native ? options : options.of_attached
        end

        # @return [Handshake] of a connection, which knows where its request comes from
        def new_handshake(connection)
          options = @options || Options::NONE
          peer = peer_ip(connection) if options[:trusted_proxies]
          handshake = Handshake.new(Transport.secure?(connection), options, peer)
          handshake.connection = connection
          handshake
        end

        # The other end of the socket.
        def peer_ip(connection)
          return @native.client_ip || @native.peer&.first || Networks::UNIX if @native
          return unless Transport.socket?(connection)

          connection.remote_ip || (Networks::UNIX if unix?(connection))
        end

        def unix?(connection)
          UnixAddress.of_socket?(connection.get_peername)
        end

        # Notes whom trusted proxies say that the client is.
        def believe(handshake)
          client = handshake.client
          return unless client

          @native ? @native.client_ip = client : cold_state!.client_ip = client
        end
      end
    end
  end
end
