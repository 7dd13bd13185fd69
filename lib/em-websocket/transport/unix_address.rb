# frozen_string_literal: true

require "socket"

module EventMachine
  module WebSocket
    # See transport.rb.
    module Transport
      # Addresses of Unix-domain sockets, packed as EventMachine has them.
      #
      # @api private
      module UnixAddress
        # Address of the end that has none: its family alone.
        NONE = Socket.pack_sockaddr_un("")[0, 2].freeze

        class << self
          # @param path [String, nil] nil: a client's
          # @return [String]
          def pack(path)
            path.nil? || path.empty? ? NONE.dup : Socket.pack_sockaddr_un(path)
          end

          # @param packed [String, nil]
          # @return [Boolean] whether it is the address of a Unix-domain socket
          def of_socket?(packed)
            packed.to_s.b.start_with?(NONE)
          end
        end
      end
    end
  end
end
